/* The margin formulas, to the last unit those of engine/protocol/margin.py: nothing is divided before a decision. */
#ifndef MARGIN_H
#define MARGIN_H

#include "wide.h"

#define MICRO 1000000ULL
#define BASIS_POINTS 10000ULL
#define LAMPORTS_PER_SOL 1000000000ULL
#define MAX_LEVERAGE 1000

/* Fee f = m / 2 with m in basis points, on a closed value that is scaled by 1e12, down to 1e-6 USD. */
#define FEE_DIVISOR (2 * BASIS_POINTS * MICRO)

/* The part of a position that decides its health, with its maintenance ratio. */
typedef struct {
    bool is_long;
    u64 size_e6;
    u64 entry_price_e6;
    u64 collateral_e6;
    u64 maintenance_bps;
} Terms;

/* Equity E and value V, scaled by 1e12; the health factor is (E / V) / m and is never computed. */
typedef struct {
    SignedWide equity_e12;
    Wide value_e12;
    u64 maintenance_bps;
} Health;

/* What closing units does, in 1e-6 USD: fee and to_fund are paid out and round down, bad debt rounds up. */
typedef struct {
    Wide fee_e6;
    Wide to_fund_e6;
    Wide bad_debt_e6;
    SignedWide remaining_collateral_e6;
} Settlement;

/* The maintenance ratio in basis points, 0 for a leverage that has none. */
static u64 maintenance_bps(u64 leverage) {
    if (leverage == 0 || leverage > MAX_LEVERAGE) {
        return 0;
    }
    return leverage <= 20 ? 250 : leverage <= 50 ? 100 : leverage <= 100 ? 50 : leverage <= 500 ? 25 : 10;
}

/* Profit or loss of `size_e6` units at a mark price, scaled by 1e12: size * (mark - entry), negated for a short. */
static void pnl_e12(SignedWide *out, const Terms *terms, u64 size_e6, u64 mark_e6) {
    bool has_fallen = mark_e6 < terms->entry_price_e6;
    Wide magnitude;
    wide_product(&magnitude, size_e6, has_fallen ? terms->entry_price_e6 - mark_e6 : mark_e6 - terms->entry_price_e6);
    signed_set(out, &magnitude, has_fallen == terms->is_long);
}

static void health_at(Health *out, const Terms *terms, u64 mark_e6) {
    SignedWide pnl;
    wide_product(&out->equity_e12.magnitude, terms->collateral_e6, MICRO);
    out->equity_e12.is_negative = false;
    pnl_e12(&pnl, terms, terms->size_e6, mark_e6);
    signed_add(&out->equity_e12, &pnl);
    wide_product(&out->value_e12, terms->size_e6, mark_e6);
    out->maintenance_bps = terms->maintenance_bps;
}

/* Health factor strictly below 1: 10,000 E < m V. */
static bool is_liquidatable(const Health *health) {
    if (health->equity_e12.is_negative) {
        return true;
    }
    Wide equity = health->equity_e12.magnitude;
    Wide required = health->value_e12;
    wide_scale(&equity, BASIS_POINTS);
    wide_scale(&required, health->maintenance_bps);
    return wide_compare(&equity, &required) < 0;
}

static void fee_e6(Wide *out, u64 closed_size_e6, u64 mark_e6, u64 bps) {
    wide_product(out, closed_size_e6, mark_e6);
    wide_scale(out, bps);
    wide_divide(out, FEE_DIVISOR);
}

/* Closes `amount_e6` units: collateral' = C + pnl of those units, rounded up, - fee. */
static void settle_partial(Settlement *out, const Terms *terms, u64 mark_e6, u64 amount_e6) {
    SignedWide realised, fee;
    fee_e6(&out->fee_e6, amount_e6, mark_e6, terms->maintenance_bps);
    pnl_e12(&realised, terms, amount_e6, mark_e6);
    signed_divide_up(&realised, MICRO);
    wide_set(&out->remaining_collateral_e6.magnitude, terms->collateral_e6);
    out->remaining_collateral_e6.is_negative = false;
    signed_add(&out->remaining_collateral_e6, &realised);
    signed_set(&fee, &out->fee_e6, true);
    signed_add(&out->remaining_collateral_e6, &fee);
    wide_set(&out->to_fund_e6, 0);
    wide_set(&out->bad_debt_e6, 0);
}

/* Closes everything: the fee from what equity is left, the rest of it to the fund; negative equity is bad debt. */
static void settle_full(Settlement *out, const Terms *terms, const Health *health, u64 mark_e6) {
    wide_set(&out->fee_e6, 0);
    wide_set(&out->to_fund_e6, 0);
    wide_set(&out->bad_debt_e6, 0);
    wide_set(&out->remaining_collateral_e6.magnitude, 0);
    out->remaining_collateral_e6.is_negative = false;
    if (health->equity_e12.is_negative) {
        out->bad_debt_e6 = health->equity_e12.magnitude;
        wide_divide_up(&out->bad_debt_e6, MICRO);
        return;
    }
    out->to_fund_e6 = health->equity_e12.magnitude;
    wide_divide(&out->to_fund_e6, MICRO);
    fee_e6(&out->fee_e6, terms->size_e6, mark_e6, health->maintenance_bps);
    if (wide_compare(&out->fee_e6, &out->to_fund_e6) > 0) {
        out->fee_e6 = out->to_fund_e6;
    }
    wide_subtract(&out->to_fund_e6, &out->fee_e6);
}

/* Quote units to lamports at a SOL/USD price above zero: down for what is paid out, up for what is owed. */
static void lamports_down(Wide *quote_e6, u64 sol_price_e6) {
    wide_scale(quote_e6, LAMPORTS_PER_SOL);
    wide_divide(quote_e6, sol_price_e6);
}

static void lamports_up(Wide *quote_e6, u64 sol_price_e6) {
    wide_scale(quote_e6, LAMPORTS_PER_SOL);
    wide_divide_up(quote_e6, sol_price_e6);
}

/* m times the value at entry, rounded up. */
static void maintenance_margin_e6(Wide *out, u64 size_e6, u64 entry_price_e6, u64 bps) {
    wide_product(out, size_e6, entry_price_e6);
    wide_scale(out, bps);
    wide_divide_up(out, BASIS_POINTS * MICRO);
}

/* Covered bad debt over contributions in basis points, 0 without contributions. */
static void utilization_bps(Wide *out, u64 covered_lamports, u64 contributions_lamports) {
    wide_set(out, 0);
    if (contributions_lamports != 0) {
        wide_product(out, covered_lamports, BASIS_POINTS);
        wide_divide(out, contributions_lamports);
    }
}

#endif
