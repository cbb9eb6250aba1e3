/* liquidate_partial and liquidate_full: solvency is proved from the prices given, then money moves. */
#ifndef LIQUIDATION_H
#define LIQUIDATION_H

#include "events.h"
#include "funding.h"
#include "valuation.h"

enum { LIQUIDATED = 0, INSURER = 1, LIQUIDATOR = 2, NAMED_ACCOUNTS = 3, PRICE = 3 };

/* Everything that a liquidation reads before it changes anything. */
typedef struct {
    const Call *call;
    Valuation valuation;
    Fund fund;
} Liquidation;

static u64 load_liquidation_accounts(Liquidation *liquidation) {
    const Call *call = liquidation->call;
    if (call->account_count < NAMED_ACCOUNTS) {
        return fail(ACCOUNT_NOT_ENOUGH_KEYS);
    }
    Account *position = call->accounts[LIQUIDATED];
    Account *fund = call->accounts[INSURER];
    Account *liquidator = call->accounts[LIQUIDATOR];
    u64 status = load_position(position, call->program_id, &liquidation->valuation.position);
    status = status != OK ? status : load_fund(fund, call->program_id, &liquidation->fund);
    status = status != OK ? status : check_signer(liquidator, "liquidator");
    status = status != OK ? status : check_writable(position, "position");
    status = status != OK ? status : check_fund(fund, call->program_id);
    status = status != OK ? status : check_writable(liquidator, "liquidator");
    if (status == OK && liquidator == position) {
        /* A position's own keypair can sign: closing the account into itself would lose its lamports. */
        return fail_account(CONSTRAINT_DUPLICATE_MUTABLE_ACCOUNT, "liquidator");
    }
    return status;
}

/* Loads and checks everything; OK means that the position may be liquidated at these prices. */
static u64 prove_liquidatable(Liquidation *liquidation) {
    u64 status = load_liquidation_accounts(liquidation);
    if (status != OK) {
        return status;
    }
    status = value_position(liquidation->call, PRICE, &liquidation->valuation);
    if (status != OK) {
        return status;
    }
    return is_liquidatable(&liquidation->valuation.health) ? OK : fail(POSITION_NOT_LIQUIDATABLE);
}

/* What the event says of both kinds; a reward or a bad debt that is no u64 is refused. */
static u64 report(const Liquidation *liquidation, const Settlement *settlement, u64 closed_size_e6, bool is_full,
                  LiquidationEvent *event) {
    Wide reward = settlement->fee_e6;
    Wide bad_debt = settlement->bad_debt_e6;
    lamports_down(&reward, liquidation->valuation.sol_price_e6);
    lamports_up(&bad_debt, liquidation->valuation.sol_price_e6);
    event->position = liquidation->call->accounts[LIQUIDATED]->key;
    event->owner = liquidation->valuation.position.owner;
    event->liquidator = liquidation->call->accounts[LIQUIDATOR]->key;
    event->symbol = liquidation->valuation.position.symbol;
    event->liquidated_size_e6 = closed_size_e6;
    event->liquidation_price_e6 = liquidation->valuation.mark_e6;
    event->reward_lamports = reward.limb[0];
    event->bad_debt_lamports = bad_debt.limb[0];
    event->is_full = is_full;
    event->timestamp_s = liquidation->valuation.now_s;
    return wide_fits_u64(&reward) && wide_fits_u64(&bad_debt) ? OK : fail(OVERFLOW);
}

/* A partial liquidation needs equity, and may neither overdraw the collateral nor take more than the equity as fee. */
static bool is_solvent_after(const Liquidation *liquidation, const Settlement *settlement) {
    Wide fee_e12 = settlement->fee_e6;
    wide_scale(&fee_e12, MICRO);
    const SignedWide *equity = &liquidation->valuation.health.equity_e12;
    return !equity->is_negative && !wide_is_zero(&equity->magnitude) &&
           wide_compare(&fee_e12, &equity->magnitude) <= 0 && !settlement->remaining_collateral_e6.is_negative;
}

/* Size and collateral shrink, and with the size the maintenance margin that the account records. */
static u64 shrink_position(Liquidation *liquidation, const Settlement *settlement, u64 amount_e6) {
    Position *position = &liquidation->valuation.position;
    const Wide *collateral = &settlement->remaining_collateral_e6.magnitude;
    Wide margin;
    position->size_e6 -= amount_e6;
    position->collateral_e6 = collateral->limb[0];
    maintenance_margin_e6(&margin, position->size_e6, position->entry_price_e6,
                          liquidation->valuation.terms.maintenance_bps);
    position->maintenance_margin_e6 = margin.limb[0];
    if (!wide_fits_u64(collateral) || !wide_fits_u64(&margin)) {
        return fail(OVERFLOW);
    }
    store_position(liquidation->call->accounts[LIQUIDATED], position);
    return OK;
}

static u64 liquidate_partial(const Call *call) {
    log_text(TEXT("Instruction: LiquidatePartial"));
    Reader reader = {call->data + DISCRIMINATOR_SIZE, call->data_length - DISCRIMINATOR_SIZE, false};
    u64 amount_e6 = take_number(&reader, 8);
    if (reader.is_failed) {
        return fail(INSTRUCTION_DID_NOT_DESERIALIZE);
    }
    Liquidation liquidation;
    liquidation.call = call;
    u64 status = prove_liquidatable(&liquidation);
    if (status != OK) {
        return status;
    }
    if (amount_e6 == 0 || amount_e6 >= liquidation.valuation.position.size_e6) {
        return fail(INVALID_LIQUIDATION_AMOUNT);
    }
    Settlement settlement;
    LiquidationEvent event;
    settle_partial(&settlement, &liquidation.valuation.terms, liquidation.valuation.mark_e6, amount_e6);
    if (!is_solvent_after(&liquidation, &settlement)) {
        return fail(INVALID_LIQUIDATION_AMOUNT);
    }
    status = report(&liquidation, &settlement, amount_e6, false, &event);
    status = status != OK ? status : shrink_position(&liquidation, &settlement, amount_e6);
    if (status == OK) {
        emit_liquidation(&event);
    }
    return status;
}

/* Bad debt: the fund pays what it can, in lamports, to the liquidator, who takes over the position under water. */
static u64 cover_bad_debt(Liquidation *liquidation, u64 bad_debt_lamports) {
    Account *insurer = liquidation->call->accounts[INSURER];
    Fund *fund = &liquidation->fund;
    u64 covered = bad_debt_lamports < fund->balance ? bad_debt_lamports : fund->balance;
    if (covered > insurer->lamports) {
        return fail(OVERFLOW);
    }
    fund->balance -= covered;
    insurer->lamports -= covered;
    liquidation->call->accounts[LIQUIDATOR]->lamports += covered;
    return add_lamports(&fund->covered, covered);
}

/* Equity that is left goes to the fund as far as the closing account's lamports reach. */
static u64 deposit_equity(Liquidation *liquidation, const Settlement *settlement) {
    Account *position = liquidation->call->accounts[LIQUIDATED];
    Wide equity = settlement->to_fund_e6;
    lamports_down(&equity, liquidation->valuation.sol_price_e6);
    u64 deposit = position->lamports;
    if (wide_fits_u64(&equity) && equity.limb[0] < deposit) {
        deposit = equity.limb[0];
    }
    position->lamports -= deposit;
    liquidation->call->accounts[INSURER]->lamports += deposit;
    return add_lamports(&liquidation->fund.balance, deposit);
}

static u64 liquidate_full(const Call *call) {
    log_text(TEXT("Instruction: LiquidateFull"));
    Liquidation liquidation;
    Settlement settlement;
    LiquidationEvent event;
    liquidation.call = call;
    u64 status = prove_liquidatable(&liquidation);
    if (status != OK) {
        return status;
    }
    settle_full(&settlement, &liquidation.valuation.terms, &liquidation.valuation.health,
                liquidation.valuation.mark_e6);
    status = report(&liquidation, &settlement, liquidation.valuation.position.size_e6, true, &event);
    status = status != OK ? status : cover_bad_debt(&liquidation, event.bad_debt_lamports);
    status = status != OK ? status : deposit_equity(&liquidation, &settlement);
    status = status != OK ? status : refresh_utilization(&liquidation.fund);
    if (status != OK) {
        return status;
    }
    emit_liquidation(&event); /* before the close, which wipes the symbol that the event borrows */
    store_fund(call->accounts[INSURER], &liquidation.fund);
    close_account(call->accounts[LIQUIDATED], call->accounts[LIQUIDATOR]);
    return OK;
}

#endif
