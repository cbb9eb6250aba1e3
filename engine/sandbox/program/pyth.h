/* Prices: a Pyth PriceUpdateV2 account checked in every respect, and the mark price it gives. */
#ifndef PYTH_H
#define PYTH_H

#include "accounts.h"
#include "wide.h"

#define PRICE_BODY_OFFSET 41
#define PRICE_BODY_SIZE 92
#define VERIFICATION_FULL 1
#define MAX_PRICE_AGE_S 60
#define MAX_CONFIDENCE_PERCENT 1
#define MIN_EXPONENT (-18)
#define MAX_EXPONENT 6

static const u8 PRICE_DISCRIMINATOR[] = {34, 241, 35, 99, 157, 126, 244, 205};

/* rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ */
static const u8 PYTH_RECEIVER[KEY_SIZE] = {
    0x0c, 0xb7, 0xfa, 0xbb, 0x52, 0xf7, 0xa6, 0x48, 0xbb, 0x5b, 0x31, 0x7d, 0x9a, 0x01, 0x8b, 0x90,
    0x57, 0xcb, 0x02, 0x47, 0x74, 0xfa, 0xfe, 0x01, 0xe6, 0xc4, 0xdf, 0x98, 0xcc, 0x38, 0x58, 0x81,
};

typedef struct {
    char symbol[8];
    u8 feed_id[32];
} Feed;

static const Feed FEEDS[] = {
    {"SOL/USD",
     {
         0xef, 0x0d, 0x8b, 0x6f, 0xda, 0x2c, 0xeb, 0xa4, 0x1d, 0xa1, 0x5d, 0x40, 0x95, 0xd1, 0xda, 0x39,
         0x2a, 0x0d, 0x2f, 0x8e, 0xd0, 0xc6, 0xc7, 0xbc, 0x0f, 0x4c, 0xfa, 0xc8, 0xc2, 0x80, 0xb5, 0x6d,
     }},
    {"BTC/USD",
     {
         0xe6, 0x2d, 0xf6, 0xc8, 0xb4, 0xa8, 0x5f, 0xe1, 0xa6, 0x7d, 0xb4, 0x4d, 0xc1, 0x2d, 0xe5, 0xdb,
         0x33, 0x0f, 0x7a, 0xc6, 0x6b, 0x72, 0xdc, 0x65, 0x8a, 0xfe, 0xdf, 0x0f, 0x4a, 0x41, 0x5b, 0x43,
     }},
    {"ETH/USD",
     {
         0xff, 0x61, 0x49, 0x1a, 0x93, 0x11, 0x12, 0xdd, 0xf1, 0xbd, 0x81, 0x47, 0xcd, 0x1b, 0x64, 0x13,
         0x75, 0xf7, 0x9f, 0x58, 0x25, 0x12, 0x6d, 0x66, 0x54, 0x80, 0x87, 0x46, 0x34, 0xfd, 0x0a, 0xce,
     }},
};

#define SOL_USD TEXT("SOL/USD")

/* The feed id of a symbol, NULL for a symbol that has none. */
static const u8 *find_feed(Text symbol) {
    for (u64 i = 0; i < sizeof(FEEDS) / sizeof(FEEDS[0]); i++) {
        if (symbol.length == sizeof("SOL/USD") - 1 &&
            same_bytes(symbol.bytes, (const u8 *)FEEDS[i].symbol, symbol.length)) {
            return FEEDS[i].feed_id;
        }
    }
    return NULL;
}

/* price * 10^(exponent + 6), truncated. Zero is refused: a margin ratio at it has no value. */
static u64 scale_price(u64 price, i32 exponent, u64 *price_e6) {
    Wide scaled;
    u64 power = 1;
    i32 shift = exponent + 6;
    for (i32 i = shift < 0 ? -shift : shift; i > 0; i--) {
        power *= 10;
    }
    wide_set(&scaled, price);
    if (shift < 0) {
        wide_divide(&scaled, power);
    } else {
        wide_scale(&scaled, power);
    }
    if (!wide_fits_u64(&scaled)) {
        return fail(OVERFLOW);
    }
    *price_e6 = scaled.limb[0];
    return *price_e6 == 0 ? fail(DIVISION_BY_ZERO) : OK;
}

static bool is_wide_confidence(u64 price, u64 confidence) {
    Wide limit, measured;
    wide_product(&limit, price, MAX_CONFIDENCE_PERCENT);
    wide_product(&measured, confidence, 100);
    return wide_compare(&measured, &limit) > 0;
}

/* The price itself, once the account is known to be a fully verified one of the right feed. */
static u64 read_price(Reader *body, i64 now_s, u64 *price_e6) {
    i64 price = (i64)take_number(body, 8);
    u64 confidence = take_number(body, 8);
    i32 exponent = (i32)take_number(body, 4);
    i64 publish_time_s = (i64)take_number(body, 8);
    if (publish_time_s < now_s - MAX_PRICE_AGE_S || publish_time_s > now_s + MAX_PRICE_AGE_S) {
        return fail(STALE_PRICE);
    }
    if (price <= 0 || exponent < MIN_EXPONENT || exponent > MAX_EXPONENT ||
        is_wide_confidence((u64)price, confidence)) {
        return fail(PRICE_DEVIATION_TOO_HIGH);
    }
    return scale_price((u64)price, exponent, price_e6);
}

/* The mark price of a feed (NULL: an unknown one) in 1e-6 USD from the account that is said to carry it. */
static u64 load_price(const Account *account, const char *name, const u8 *feed_id, i64 now_s, u64 *price_e6) {
    if (!same_key(account->owner, PYTH_RECEIVER)) {
        return fail_keys(ACCOUNT_OWNED_BY_WRONG_PROGRAM, name, account->owner, PYTH_RECEIVER);
    }
    u64 status = check_type(account, PYTH_RECEIVER, PRICE_DISCRIMINATOR, name);
    if (status != OK) {
        return status;
    }
    if (account->data_length < PRICE_BODY_OFFSET + PRICE_BODY_SIZE) {
        return fail_account(ACCOUNT_DID_NOT_DESERIALIZE, name);
    }
    if (account->data[PRICE_BODY_OFFSET - 1] != VERIFICATION_FULL) {
        return fail_account(PRICE_DEVIATION_TOO_HIGH, name);
    }
    Reader body = {account->data + PRICE_BODY_OFFSET, PRICE_BODY_SIZE, false};
    const u8 *given = take_bytes(&body, 32);
    if (feed_id == NULL || !same_key(given, feed_id)) {
        return fail_account(UNAUTHORIZED, name);
    }
    return read_price(&body, now_s, price_e6);
}

#endif
