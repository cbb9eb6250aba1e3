/* open_position and create_position: a trader's new position, in either generation. */
#ifndef POSITIONS_H
#define POSITIONS_H

#include "margin.h"
#include "system.h"

enum { POSITION = 0, TRADER = 1, TRADER_SYSTEM_PROGRAM = 2, TRADER_ACCOUNTS = 3 };

static u64 read_terms(const Call *call, bool is_documented, Position *out) {
    Reader reader = {call->data + DISCRIMINATOR_SIZE, call->data_length - DISCRIMINATOR_SIZE, false};
    take_string(&reader, MAX_SYMBOL_BYTES, &out->symbol);
    out->size_e6 = take_number(&reader, 8);
    out->collateral_e6 = take_number(&reader, 8);
    out->entry_price_e6 = take_number(&reader, 8);
    out->leverage = take_number(&reader, 2);
    out->is_documented = is_documented;
    out->is_long = is_documented ? take_bool(&reader) : true;
    out->is_liquidated = false;
    if (reader.is_failed || out->symbol.length == 0) {
        return fail(INSTRUCTION_DID_NOT_DESERIALIZE);
    }
    return OK;
}

static u64 check_trader(const Call *call, const char *name) {
    u64 status = check_signer(call->accounts[TRADER], name);
    status = status != OK ? status : check_system_program(call->accounts[TRADER_SYSTEM_PROGRAM]);
    status = status != OK ? status : check_writable(call->accounts[POSITION], "position");
    return status != OK ? status : check_writable(call->accounts[TRADER], name);
}

/* Refuses terms that no position may have, and works out the maintenance margin. */
static u64 complete_terms(Position *position) {
    u64 bps = maintenance_bps(position->leverage);
    if (bps == 0) {
        return fail(INVALID_LEVERAGE);
    }
    if (position->size_e6 == 0) {
        return fail(INVALID_SIZE);
    }
    if (position->collateral_e6 == 0) {
        return fail(INVALID_COLLATERAL);
    }
    Wide margin;
    maintenance_margin_e6(&margin, position->size_e6, position->entry_price_e6, bps);
    if (!wide_fits_u64(&margin)) {
        return fail(OVERFLOW);
    }
    position->maintenance_margin_e6 = margin.limb[0];
    return OK;
}

static u64 add_position(const Call *call, Position *position, const Text *seeds, u64 seed_count) {
    Account *account = call->accounts[POSITION];
    SystemCall system = {call->accounts[TRADER], account, seeds, seed_count};
    u64 space = position->is_documented ? DOCUMENTED_POSITION_SIZE : DEPLOYED_POSITION_OVERHEAD + position->symbol.length;
    u64 rent_lamports;
    u64 status = complete_terms(position);
    status = status != OK ? status : create_account(&system, space, call->program_id, &rent_lamports);
    if (status != OK) {
        return status;
    }
    Clock clock;
    sol_get_clock_sysvar(&clock);
    position->owner = call->accounts[TRADER]->key;
    position->created_at_s = clock.unix_timestamp;
    store_position(account, position);
    return OK;
}

/* The deployed generation, at PDA(["position", owner, symbol]). */
static u64 open_position(const Call *call) {
    log_text(TEXT("Instruction: OpenPosition"));
    Position position;
    u64 status = read_terms(call, false, &position);
    if (status != OK) {
        return status;
    }
    if (call->account_count < TRADER_ACCOUNTS) {
        return fail(ACCOUNT_NOT_ENOUGH_KEYS);
    }
    status = check_trader(call, "owner");
    if (status != OK) {
        return status;
    }
    u8 expected[KEY_SIZE];
    u8 bump;
    Text seeds[] = {TEXT("position"), {call->accounts[TRADER]->key, KEY_SIZE}, position.symbol, {&bump, 1}};
    sol_try_find_program_address(seeds, 3, call->program_id, expected, &bump);
    if (!same_key(call->accounts[POSITION]->key, expected)) {
        return fail_keys(CONSTRAINT_SEEDS, "position", call->accounts[POSITION]->key, expected);
    }
    return add_position(call, &position, seeds, 4);
}

/* The documented generation, at an account that signs for itself. */
static u64 create_position(const Call *call) {
    log_text(TEXT("Instruction: CreatePosition"));
    Position position;
    u64 status = read_terms(call, true, &position);
    if (status != OK) {
        return status;
    }
    if (call->account_count < TRADER_ACCOUNTS) {
        return fail(ACCOUNT_NOT_ENOUGH_KEYS);
    }
    status = check_signer(call->accounts[POSITION], "position");
    status = status != OK ? status : check_trader(call, "user");
    return status != OK ? status : add_position(call, &position, NULL, 0);
}

#endif
