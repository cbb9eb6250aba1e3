/* initialize_insurance_fund and contribute_to_insurance: lamports into the fund, never out of it. */
#ifndef FUNDING_H
#define FUNDING_H

#include "events.h"
#include "margin.h"
#include "system.h"

enum { FUNDING_FUND = 0, FUNDING_SIGNER = 1, FUNDING_SYSTEM_PROGRAM = 2, FUNDING_ACCOUNTS = 3 };

static u64 refresh_utilization(Fund *fund) {
    Wide utilization;
    utilization_bps(&utilization, fund->covered, fund->contributions);
    fund->utilization_bps = utilization.limb[0];
    return wide_fits_u64(&utilization) ? OK : fail(OVERFLOW);
}

/* Adds to one of the fund's counters. */
static u64 add_lamports(u64 *total, u64 lamports) {
    *total += lamports;
    return *total < lamports ? fail(OVERFLOW) : OK;
}

static u64 check_funding_signer(const Call *call, const char *name) {
    u64 status = check_signer(call->accounts[FUNDING_SIGNER], name);
    return status != OK ? status : check_system_program(call->accounts[FUNDING_SYSTEM_PROGRAM]);
}

static u64 initialize_insurance_fund(const Call *call) {
    log_text(TEXT("Instruction: InitializeInsuranceFund"));
    if (call->account_count < FUNDING_ACCOUNTS) {
        return fail(ACCOUNT_NOT_ENOUGH_KEYS);
    }
    Account *fund = call->accounts[FUNDING_FUND];
    Account *authority = call->accounts[FUNDING_SIGNER];
    u8 bump = 0;
    u64 status = check_funding_signer(call, "authority");
    status = status != OK ? status : check_fund_address(fund, call->program_id, &bump);
    status = status != OK ? status : check_writable(fund, "insurance_fund");
    status = status != OK ? status : check_writable(authority, "authority");
    if (status != OK) {
        return status;
    }
    Text seeds[2];
    set_fund_seed(&seeds[0]);
    seeds[1].bytes = &bump;
    seeds[1].length = 1;
    SystemCall system = {authority, fund, seeds, 2};
    u64 rent_lamports;
    status = create_account(&system, DOCUMENTED_FUND_SIZE, call->program_id, &rent_lamports);
    if (status != OK) {
        return status;
    }
    /* What the address held above its rent is the fund's from the start, so that its ledger begins true. */
    Fund opening = {fund->lamports - rent_lamports, 0, 0, 0};
    sol_memcpy_(fund->data, FUND_DISCRIMINATOR, DISCRIMINATOR_SIZE);
    sol_memcpy_(fund->data + DISCRIMINATOR_SIZE, authority->key, KEY_SIZE);
    store_fund(fund, &opening);
    fund->data[DOCUMENTED_FUND_SIZE - 1] = bump;
    return OK;
}

static u64 contribute_to_insurance(const Call *call) {
    log_text(TEXT("Instruction: ContributeToInsurance"));
    Reader reader = {call->data + DISCRIMINATOR_SIZE, call->data_length - DISCRIMINATOR_SIZE, false};
    u64 amount_lamports = take_number(&reader, 8);
    if (reader.is_failed) {
        return fail(INSTRUCTION_DID_NOT_DESERIALIZE);
    }
    if (call->account_count < FUNDING_ACCOUNTS) {
        return fail(ACCOUNT_NOT_ENOUGH_KEYS);
    }
    Account *account = call->accounts[FUNDING_FUND];
    Account *contributor = call->accounts[FUNDING_SIGNER];
    Fund fund;
    u64 status = load_fund(account, call->program_id, &fund);
    status = status != OK ? status : check_funding_signer(call, "contributor");
    status = status != OK ? status : check_fund(account, call->program_id);
    status = status != OK ? status : check_writable(contributor, "contributor");
    status = status != OK ? status : add_lamports(&fund.balance, amount_lamports);
    status = status != OK ? status : add_lamports(&fund.contributions, amount_lamports);
    status = status != OK ? status : refresh_utilization(&fund);
    if (status != OK) {
        return status;
    }
    SystemCall system = {contributor, account, NULL, 0};
    status = transfer(&system, amount_lamports);
    if (status != OK) {
        return status;
    }
    Clock clock;
    sol_get_clock_sysvar(&clock);
    store_fund(account, &fund);
    emit_contribution(contributor->key, amount_lamports, fund.balance, clock.unix_timestamp);
    return OK;
}

#endif
