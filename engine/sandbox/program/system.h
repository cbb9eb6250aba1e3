/* Calls into the system program, and rent: how accounts come to be and lamports come in. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include "accounts.h"
#include "wide.h"

#define ACCOUNT_OVERHEAD_BYTES 128
#define MAX_CALL_ACCOUNTS 2

/* Instruction numbers of the system program. */
enum { CREATE_ACCOUNT = 0, ASSIGN = 1, TRANSFER = 2, ALLOCATE = 8 };

/* The next four are laid out as the runtime reads them. */
typedef struct {
    const u8 *key;
    bool is_writable;
    bool is_signer;
} CallMeta;

typedef struct {
    const u8 *program_id;
    const CallMeta *metas;
    u64 meta_count;
    const u8 *data;
    u64 data_length;
} CallInstruction;

typedef struct {
    const u8 *key;
    u64 *lamports;
    u64 data_length;
    u8 *data;
    const u8 *owner;
    u64 rent_epoch;
    bool is_signer;
    bool is_writable;
    bool is_executable;
} CallInfo;

typedef struct {
    const Text *seeds;
    u64 count;
} CallSigner;

/* A call that pays from `payer` and acts on `account`, which signs by its seeds when it has any. */
typedef struct {
    Account *payer;
    Account *account;
    const Text *seeds;
    u64 seed_count;
} SystemCall;

static void fill_info(CallInfo *info, Account *account) {
    info->key = account->key;
    info->lamports = &account->lamports;
    info->data_length = account->data_length;
    info->data = account->data;
    info->owner = account->owner;
    info->rent_epoch = U64_MAX;
    info->is_signer = account->is_signer;
    info->is_writable = account->is_writable;
    info->is_executable = account->executable;
}

/* `metas` names the payer, the account or both; a refusal of the system program ends the transaction. */
static u64 invoke(const SystemCall *call, const CallMeta *metas, u64 meta_count, const Buffer *data) {
    CallInfo infos[MAX_CALL_ACCOUNTS];
    CallInstruction instruction = {SYSTEM_PROGRAM, metas, meta_count, data->bytes, data->length};
    CallSigner signer = {call->seeds, call->seed_count};
    fill_info(&infos[0], call->payer);
    fill_info(&infos[1], call->account);
    return sol_invoke_signed_c(&instruction, infos, MAX_CALL_ACCOUNTS, &signer, call->seed_count == 0 ? 0 : 1);
}

static u64 transfer(const SystemCall *call, u64 lamports) {
    CallMeta metas[] = {{call->payer->key, true, true}, {call->account->key, true, false}};
    Buffer data;
    data.length = 0;
    put_number(&data, TRANSFER, 4);
    put_number(&data, lamports, 8);
    return invoke(call, metas, 2, &data);
}

static u64 create(const SystemCall *call, u64 lamports, u64 space, const u8 *owner) {
    CallMeta metas[] = {{call->payer->key, true, true}, {call->account->key, true, true}};
    Buffer data;
    data.length = 0;
    put_number(&data, CREATE_ACCOUNT, 4);
    put_number(&data, lamports, 8);
    put_number(&data, space, 8);
    put_bytes(&data, owner, KEY_SIZE);
    return invoke(call, metas, 2, &data);
}

static u64 allocate(const SystemCall *call, u64 space) {
    CallMeta metas[] = {{call->account->key, true, true}};
    Buffer data;
    data.length = 0;
    put_number(&data, ALLOCATE, 4);
    put_number(&data, space, 8);
    return invoke(call, metas, 1, &data);
}

static u64 assign(const SystemCall *call, const u8 *owner) {
    CallMeta metas[] = {{call->account->key, true, true}};
    Buffer data;
    data.length = 0;
    put_number(&data, ASSIGN, 4);
    put_bytes(&data, owner, KEY_SIZE);
    return invoke(call, metas, 1, &data);
}

/* (128 + space) * lamports per byte-year * threshold, truncated, with the double taken apart by hand. */
static u64 rent_exempt_lamports(u64 space, u64 *lamports) {
    Rent rent;
    sol_get_rent_sysvar(&rent);
    u64 exponent = rent.exemption_threshold_bits >> 52 & 0x7ff;
    u64 mantissa = (rent.exemption_threshold_bits & ((1ULL << 52) - 1)) | 1ULL << 52;
    u64 shift = 1075 - exponent;
    if (shift >= 64) {
        return fail(OVERFLOW); /* a threshold outside 2^-11 .. 2^53 is no rent that this program knows */
    }
    Wide product;
    wide_product(&product, ACCOUNT_OVERHEAD_BYTES + space, rent.lamports_per_byte_year);
    wide_scale(&product, mantissa);
    wide_divide(&product, 1ULL << shift);
    *lamports = product.limb[0];
    return wide_fits_u64(&product) ? OK : fail(OVERFLOW);
}

/* Anchor's init: creates the account, or takes over an address to which somebody sent lamports before. */
static u64 create_account(const SystemCall *call, u64 space, const u8 *owner, u64 *rent_lamports) {
    u64 status = rent_exempt_lamports(space, rent_lamports);
    if (status != OK) {
        return status;
    }
    u64 held = call->account->lamports;
    if (held == 0) {
        return create(call, *rent_lamports, space, owner);
    }
    if (same_key(call->account->key, call->payer->key)) {
        return fail(INIT_PAYER_AS_PROGRAM_ACCOUNT);
    }
    if (held < *rent_lamports) {
        status = transfer(call, *rent_lamports - held);
    }
    status = status != OK ? status : allocate(call, space);
    return status != OK ? status : assign(call, owner);
}

#endif
