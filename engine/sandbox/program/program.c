/* Entry of the program: finds the instruction by its discriminator. One translation unit with all its headers. */
#include "holding.h"
#include "liquidation.h"
#include "positions.h"

/* sha256("global:NAME")[:8], read as a little endian number. */
#define OPEN_POSITION 0x31f0980f4d2f8087ULL
#define CREATE_POSITION 0x85b4cb6099c5d730ULL
#define ADD_COLLATERAL 0xcef9b0a12a79527fULL
#define CLOSE_POSITION 0x626244310051867bULL
#define INITIALIZE_INSURANCE_FUND 0x0c6c1c325727ef02ULL
#define CONTRIBUTE_TO_INSURANCE 0xea4a662e220bd9ecULL
#define LIQUIDATE_PARTIAL 0x9d922b821ac75ae1ULL
#define LIQUIDATE_FULL 0xaadc33e0e1897ab8ULL

u64 entrypoint(const u8 *input) {
    Call call;
    read_call(input, &call);
    if (call.data_length < DISCRIMINATOR_SIZE) {
        return fail(INSTRUCTION_MISSING);
    }
    u64 discriminator = read_number(call.data, DISCRIMINATOR_SIZE);
    if (discriminator == OPEN_POSITION) {
        return open_position(&call);
    }
    if (discriminator == CREATE_POSITION) {
        return create_position(&call);
    }
    if (discriminator == ADD_COLLATERAL) {
        return add_collateral(&call);
    }
    if (discriminator == CLOSE_POSITION) {
        return close_position(&call);
    }
    if (discriminator == INITIALIZE_INSURANCE_FUND) {
        return initialize_insurance_fund(&call);
    }
    if (discriminator == CONTRIBUTE_TO_INSURANCE) {
        return contribute_to_insurance(&call);
    }
    if (discriminator == LIQUIDATE_PARTIAL) {
        return liquidate_partial(&call);
    }
    if (discriminator == LIQUIDATE_FULL) {
        return liquidate_full(&call);
    }
    return fail(INSTRUCTION_FALLBACK_NOT_FOUND);
}
