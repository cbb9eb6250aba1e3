/* The program's two account types: their layouts, and the checks that Anchor makes before it hands one over. */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include "failure.h"
#include "input.h"

#define DISCRIMINATOR_SIZE 8
#define MAX_SYMBOL_BYTES 32
#define DOCUMENTED_POSITION_SIZE 120
#define DEPLOYED_POSITION_OVERHEAD 78
#define SYMBOL_OFFSET 44
#define DEPLOYED_FUND_SIZE 72
#define DOCUMENTED_FUND_SIZE 73

static const u8 SYSTEM_PROGRAM[KEY_SIZE] = {0};
static const u8 POSITION_DISCRIMINATOR[] = {170, 188, 143, 228, 122, 64, 247, 208};
static const u8 FUND_DISCRIMINATOR[] = {43, 134, 170, 87, 102, 16, 142, 147};

typedef struct {
    const u8 *owner;
    Text symbol;
    u64 size_e6;
    u64 collateral_e6;
    u64 entry_price_e6;
    u64 leverage;
    u64 maintenance_margin_e6;
    bool is_documented; /* the generation with direction, flag and creation time */
    bool is_long;
    bool is_liquidated;
    i64 created_at_s;
} Position;

typedef struct {
    u64 balance;
    u64 contributions;
    u64 covered;
    u64 utilization_bps;
} Fund;

/* Anchor's checks of an account type: initialized, ours, and of that type. */
static u64 check_type(const Account *account, const u8 *owner, const u8 *discriminator, const char *name) {
    if (!same_key(account->owner, owner)) {
        if (account->lamports == 0 && same_key(account->owner, SYSTEM_PROGRAM)) {
            return fail_account(ACCOUNT_NOT_INITIALIZED, name);
        }
        return fail_keys(ACCOUNT_OWNED_BY_WRONG_PROGRAM, name, account->owner, owner);
    }
    if (account->data_length < DISCRIMINATOR_SIZE) {
        return fail_account(ACCOUNT_DISCRIMINATOR_NOT_FOUND, name);
    }
    if (!same_bytes(account->data, discriminator, DISCRIMINATOR_SIZE)) {
        return fail_account(ACCOUNT_DISCRIMINATOR_MISMATCH, name);
    }
    return OK;
}

static u64 check_signer(const Account *account, const char *name) {
    return account->is_signer ? OK : fail_account(ACCOUNT_NOT_SIGNER, name);
}

static u64 check_writable(const Account *account, const char *name) {
    return account->is_writable ? OK : fail_account(CONSTRAINT_MUT, name);
}

static u64 check_system_program(const Account *account) {
    if (same_key(account->key, SYSTEM_PROGRAM)) {
        return OK;
    }
    return fail_keys(INVALID_PROGRAM_ID, "system_program", account->key, SYSTEM_PROGRAM);
}

static bool is_position_length(u64 length, u64 symbol_length) {
    return length == DOCUMENTED_POSITION_SIZE || length == DEPLOYED_POSITION_OVERHEAD + symbol_length;
}

/* Decodes a position of either generation; the deployed one is always long. */
static u64 load_position(const Account *account, const u8 *program_id, Position *out) {
    u64 status = check_type(account, program_id, POSITION_DISCRIMINATOR, "position");
    if (status != OK) {
        return status;
    }
    Reader reader = {account->data + DISCRIMINATOR_SIZE, account->data_length - DISCRIMINATOR_SIZE, false};
    out->owner = take_bytes(&reader, KEY_SIZE);
    take_string(&reader, MAX_SYMBOL_BYTES, &out->symbol);
    out->size_e6 = take_number(&reader, 8);
    out->collateral_e6 = take_number(&reader, 8);
    out->entry_price_e6 = take_number(&reader, 8);
    out->leverage = take_number(&reader, 2);
    out->maintenance_margin_e6 = take_number(&reader, 8);
    out->is_documented = account->data_length == DOCUMENTED_POSITION_SIZE;
    out->is_long = true;
    out->is_liquidated = false;
    out->created_at_s = 0;
    if (out->is_documented) {
        out->is_long = take_bool(&reader);
        out->is_liquidated = take_bool(&reader);
        out->created_at_s = (i64)take_number(&reader, 8);
    }
    if (reader.is_failed || !is_position_length(account->data_length, out->symbol.length)) {
        return fail_account(ACCOUNT_DID_NOT_DESERIALIZE, "position");
    }
    return OK;
}

/* Writes a position over an account of its size; what lies behind it stays (zero in a new account). */
static void store_position(Account *account, const Position *position) {
    Buffer out;
    out.length = 0;
    put_bytes(&out, POSITION_DISCRIMINATOR, DISCRIMINATOR_SIZE);
    put_bytes(&out, position->owner, KEY_SIZE);
    put_string(&out, position->symbol);
    put_number(&out, position->size_e6, 8);
    put_number(&out, position->collateral_e6, 8);
    put_number(&out, position->entry_price_e6, 8);
    put_number(&out, position->leverage, 2);
    put_number(&out, position->maintenance_margin_e6, 8);
    if (position->is_documented) {
        put_number(&out, position->is_long, 1);
        put_number(&out, position->is_liquidated, 1);
        put_number(&out, (u64)position->created_at_s, 8);
    }
    sol_memcpy_(account->data, out.bytes, out.length);
}

/* As Anchor closes: the lamports out, the account to the system program, its data gone. */
static void close_account(Account *account, Account *destination) {
    destination->lamports += account->lamports;
    account->lamports = 0;
    sol_memset_(account->data, 0, account->data_length);
    sol_memset_(account->owner, 0, KEY_SIZE);
    account->data_length = 0;
}

/* Assigned, not initialized: a constant structure with a pointer in it would need a relocation of its own. */
static void set_fund_seed(Text *seed) {
    seed->bytes = (const u8 *)"insurance_fund";
    seed->length = sizeof("insurance_fund") - 1;
}

/* The fund's address and its bump: PDA(["insurance_fund"]). */
static u64 check_fund_address(const Account *account, const u8 *program_id, u8 *bump) {
    u8 expected[KEY_SIZE];
    Text seed;
    set_fund_seed(&seed);
    sol_try_find_program_address(&seed, 1, program_id, expected, bump);
    if (!same_key(account->key, expected)) {
        return fail_keys(CONSTRAINT_SEEDS, "insurance_fund", account->key, expected);
    }
    return OK;
}

static u64 load_fund(const Account *account, const u8 *program_id, Fund *out) {
    u64 status = check_type(account, program_id, FUND_DISCRIMINATOR, "insurance_fund");
    if (status != OK) {
        return status;
    }
    if (account->data_length != DEPLOYED_FUND_SIZE && account->data_length != DOCUMENTED_FUND_SIZE) {
        return fail_account(ACCOUNT_DID_NOT_DESERIALIZE, "insurance_fund");
    }
    Reader reader = {account->data + DISCRIMINATOR_SIZE + KEY_SIZE, 32, false};
    out->balance = take_number(&reader, 8);
    out->contributions = take_number(&reader, 8);
    out->covered = take_number(&reader, 8);
    out->utilization_bps = take_number(&reader, 8);
    return OK;
}

/* The fund's constraints, after every account of the instruction has been loaded. */
static u64 check_fund(const Account *account, const u8 *program_id) {
    u8 bump;
    u64 status = check_fund_address(account, program_id, &bump);
    return status != OK ? status : check_writable(account, "insurance_fund");
}

static void store_fund(Account *account, const Fund *fund) {
    u8 *numbers = account->data + DISCRIMINATOR_SIZE + KEY_SIZE;
    write_number(numbers, fund->balance, 8);
    write_number(numbers + 8, fund->contributions, 8);
    write_number(numbers + 16, fund->covered, 8);
    write_number(numbers + 24, fund->utilization_bps, 8);
}

#endif
