/* add_collateral and close_position: what the owner of a position does with it. */
#ifndef HOLDING_H
#define HOLDING_H

#include "events.h"
#include "valuation.h"

enum { HELD = 0, HOLDER = 1, HOLDING_ACCOUNTS = 2, CLOSING_PRICE = 2 };

/* Loads the position and checks that its own owner signs for it. */
static u64 load_holding(const Call *call, Position *position) {
    if (call->account_count < HOLDING_ACCOUNTS) {
        return fail(ACCOUNT_NOT_ENOUGH_KEYS);
    }
    const Account *account = call->accounts[HELD];
    const Account *owner = call->accounts[HOLDER];
    u64 status = load_position(account, call->program_id, position);
    status = status != OK ? status : check_signer(owner, "owner");
    status = status != OK ? status : check_writable(account, "position");
    if (status == OK && !same_key(position->owner, owner->key)) {
        return fail_keys(CONSTRAINT_HAS_ONE, "position", position->owner, owner->key);
    }
    return status;
}

/* More collateral for an open position, liquidatable or not: topping up in time is the owner's right. */
static u64 add_collateral(const Call *call) {
    log_text(TEXT("Instruction: AddCollateral"));
    Reader reader = {call->data + DISCRIMINATOR_SIZE, call->data_length - DISCRIMINATOR_SIZE, false};
    u64 amount_e6 = take_number(&reader, 8);
    if (reader.is_failed) {
        return fail(INSTRUCTION_DID_NOT_DESERIALIZE);
    }
    Position position;
    u64 status = load_holding(call, &position);
    status = status != OK ? status : check_is_open(&position);
    if (status != OK) {
        return status;
    }
    if (amount_e6 == 0) {
        return fail(INVALID_COLLATERAL);
    }
    if (position.collateral_e6 > U64_MAX - amount_e6) {
        return fail(OVERFLOW);
    }
    Clock clock;
    sol_get_clock_sysvar(&clock);
    position.collateral_e6 += amount_e6;
    store_position(call->accounts[HELD], &position);
    CollateralAddedEvent event = {call->accounts[HELD]->key, position.owner, position.symbol, amount_e6,
                                  position.collateral_e6, clock.unix_timestamp};
    emit_collateral_added(&event);
    return OK;
}

/* What a closed position leaves to its owner, rounded down; a position that is not liquidatable has equity. */
static u64 equity_left_e6(const Valuation *valuation, u64 *equity_e6) {
    Wide equity = valuation->health.equity_e12.magnitude;
    wide_divide(&equity, MICRO);
    *equity_e6 = equity.limb[0];
    return wide_fits_u64(&equity) ? OK : fail(OVERFLOW);
}

/* Closes a healthy position at the mark price. One that is liquidatable is not its owner's to take away. */
static u64 close_position(const Call *call) {
    log_text(TEXT("Instruction: ClosePosition"));
    Valuation valuation;
    u64 status = load_holding(call, &valuation.position);
    status = status != OK ? status : check_writable(call->accounts[HOLDER], "owner");
    if (status == OK && call->accounts[HOLDER] == call->accounts[HELD]) {
        /* Closing an account into itself would lose its lamports. */
        return fail_account(CONSTRAINT_DUPLICATE_MUTABLE_ACCOUNT, "owner");
    }
    status = status != OK ? status : value_position(call, CLOSING_PRICE, &valuation);
    if (status != OK) {
        return status;
    }
    if (is_liquidatable(&valuation.health)) {
        return fail(POSITION_LIQUIDATABLE);
    }
    u64 equity_e6;
    status = equity_left_e6(&valuation, &equity_e6);
    if (status != OK) {
        return status;
    }
    const Position *position = &valuation.position;
    PositionClosedEvent event = {call->accounts[HELD]->key, position->owner, position->symbol, position->size_e6,
                                 valuation.mark_e6, equity_e6, valuation.now_s};
    emit_position_closed(&event); /* before the close, which wipes what the event borrows */
    close_account(call->accounts[HELD], call->accounts[HOLDER]);
    return OK;
}

#endif
