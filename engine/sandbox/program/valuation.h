/* A position valued at the prices that an instruction was given: the same checks for whoever acts on its health. */
#ifndef VALUATION_H
#define VALUATION_H

#include "margin.h"
#include "pyth.h"

/* A position with everything that decides what may be done with it now. */
typedef struct {
    Position position;
    Terms terms;
    Health health;
    u64 mark_e6;
    u64 sol_price_e6;
    i64 now_s;
} Valuation;

/* `price` is where the account of the position's price stands; that of SOL/USD follows it. */
static u64 load_prices(const Call *call, u64 price, Valuation *out) {
    Clock clock;
    if (call->account_count < price + 2) {
        return fail(ACCOUNT_NOT_ENOUGH_KEYS);
    }
    sol_get_clock_sysvar(&clock);
    out->now_s = clock.unix_timestamp;
    u64 status = load_price(call->accounts[price], "price_update", find_feed(out->position.symbol),
                            clock.unix_timestamp, &out->mark_e6);
    if (status != OK) {
        return status;
    }
    return load_price(call->accounts[price + 1], "sol_price_update", find_feed(SOL_USD), clock.unix_timestamp,
                      &out->sol_price_e6);
}

static u64 check_is_open(const Position *position) {
    return position->is_liquidated || position->size_e6 == 0 ? fail(ALREADY_LIQUIDATED) : OK;
}

/* Works out the health of the loaded position at the prices given; refuses one that is over or has no health. */
static u64 value_position(const Call *call, u64 price, Valuation *out) {
    const Position *position = &out->position;
    u64 status = check_is_open(position);
    if (status != OK) {
        return status;
    }
    out->terms.is_long = position->is_long;
    out->terms.size_e6 = position->size_e6;
    out->terms.entry_price_e6 = position->entry_price_e6;
    out->terms.collateral_e6 = position->collateral_e6;
    out->terms.maintenance_bps = maintenance_bps(position->leverage);
    if (out->terms.maintenance_bps == 0) {
        return fail(INVALID_LEVERAGE);
    }
    status = load_prices(call, price, out);
    if (status == OK) {
        health_at(&out->health, &out->terms, out->mark_e6);
    }
    return status;
}

#endif
