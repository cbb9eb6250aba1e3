/* The program's events, logged as Anchor's emit! does. */
#ifndef EVENTS_H
#define EVENTS_H

#include "buffer.h"

static const u8 LIQUIDATION_EVENT[] = {3, 13, 21, 93, 173, 136, 72, 144};
static const u8 CONTRIBUTION_EVENT[] = {66, 160, 5, 247, 2, 131, 249, 150};
static const u8 COLLATERAL_ADDED_EVENT[] = {90, 251, 19, 246, 134, 164, 243, 177};
static const u8 POSITION_CLOSED_EVENT[] = {76, 129, 10, 225, 238, 51, 158, 126};

typedef struct {
    const u8 *position;
    const u8 *owner;
    const u8 *liquidator;
    Text symbol;
    u64 liquidated_size_e6;
    u64 liquidation_price_e6;
    u64 reward_lamports;
    u64 bad_debt_lamports; /* the whole of it, covered or not */
    bool is_full;
    i64 timestamp_s;
} LiquidationEvent;

/* Collateral is in 1e-6 USD, as the account counts it after the addition. */
typedef struct {
    const u8 *position;
    const u8 *owner;
    Text symbol;
    u64 amount_e6;
    u64 collateral_e6;
    i64 timestamp_s;
} CollateralAddedEvent;

typedef struct {
    const u8 *position;
    const u8 *owner;
    Text symbol;
    u64 size_e6;
    u64 close_price_e6;
    u64 equity_e6; /* what the position was worth to its owner, in 1e-6 USD, rounded down */
    i64 timestamp_s;
} PositionClosedEvent;

static void emit(const Buffer *event) {
    Text field = {event->bytes, event->length};
    sol_log_data(&field, 1);
}

static void emit_liquidation(const LiquidationEvent *event) {
    Buffer out;
    out.length = 0;
    put_bytes(&out, LIQUIDATION_EVENT, sizeof(LIQUIDATION_EVENT));
    put_bytes(&out, event->position, KEY_SIZE);
    put_bytes(&out, event->owner, KEY_SIZE);
    put_bytes(&out, event->liquidator, KEY_SIZE);
    put_string(&out, event->symbol);
    put_number(&out, event->liquidated_size_e6, 8);
    put_number(&out, event->liquidation_price_e6, 8);
    put_number(&out, event->reward_lamports, 8);
    put_number(&out, event->bad_debt_lamports, 8);
    put_number(&out, event->is_full, 1);
    put_number(&out, (u64)event->timestamp_s, 8);
    emit(&out);
}

static void emit_contribution(const u8 *contributor, u64 amount_lamports, u64 balance_lamports, i64 timestamp_s) {
    Buffer out;
    out.length = 0;
    put_bytes(&out, CONTRIBUTION_EVENT, sizeof(CONTRIBUTION_EVENT));
    put_bytes(&out, contributor, KEY_SIZE);
    put_number(&out, amount_lamports, 8);
    put_number(&out, balance_lamports, 8);
    put_number(&out, (u64)timestamp_s, 8);
    emit(&out);
}

static void emit_collateral_added(const CollateralAddedEvent *event) {
    Buffer out;
    out.length = 0;
    put_bytes(&out, COLLATERAL_ADDED_EVENT, sizeof(COLLATERAL_ADDED_EVENT));
    put_bytes(&out, event->position, KEY_SIZE);
    put_bytes(&out, event->owner, KEY_SIZE);
    put_string(&out, event->symbol);
    put_number(&out, event->amount_e6, 8);
    put_number(&out, event->collateral_e6, 8);
    put_number(&out, (u64)event->timestamp_s, 8);
    emit(&out);
}

static void emit_position_closed(const PositionClosedEvent *event) {
    Buffer out;
    out.length = 0;
    put_bytes(&out, POSITION_CLOSED_EVENT, sizeof(POSITION_CLOSED_EVENT));
    put_bytes(&out, event->position, KEY_SIZE);
    put_bytes(&out, event->owner, KEY_SIZE);
    put_string(&out, event->symbol);
    put_number(&out, event->size_e6, 8);
    put_number(&out, event->close_price_e6, 8);
    put_number(&out, event->equity_e6, 8);
    put_number(&out, (u64)event->timestamp_s, 8);
    emit(&out);
}

#endif
