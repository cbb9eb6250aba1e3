/* Errors, numbered and logged as Anchor does; the number is what the program returns. */
#ifndef FAILURE_H
#define FAILURE_H

#include "buffer.h"

enum {
    OK = 0,
    INSTRUCTION_MISSING = 100,
    INSTRUCTION_FALLBACK_NOT_FOUND = 101,
    INSTRUCTION_DID_NOT_DESERIALIZE = 102,
    CONSTRAINT_MUT = 2000,
    CONSTRAINT_HAS_ONE = 2001,
    CONSTRAINT_SEEDS = 2006,
    CONSTRAINT_DUPLICATE_MUTABLE_ACCOUNT = 2040,
    ACCOUNT_DISCRIMINATOR_NOT_FOUND = 3001,
    ACCOUNT_DISCRIMINATOR_MISMATCH = 3002,
    ACCOUNT_DID_NOT_DESERIALIZE = 3003,
    ACCOUNT_NOT_ENOUGH_KEYS = 3005,
    ACCOUNT_OWNED_BY_WRONG_PROGRAM = 3007,
    INVALID_PROGRAM_ID = 3008,
    ACCOUNT_NOT_SIGNER = 3010,
    ACCOUNT_NOT_INITIALIZED = 3012,
    INIT_PAYER_AS_PROGRAM_ACCOUNT = 4101,
    INVALID_LEVERAGE = 6000,
    INVALID_SIZE,
    INVALID_COLLATERAL,
    ALREADY_LIQUIDATED,
    POSITION_NOT_LIQUIDATABLE,
    UNAUTHORIZED,
    OVERFLOW,
    DIVISION_BY_ZERO,
    STALE_PRICE,
    PRICE_DEVIATION_TOO_HIGH,
    INVALID_LIQUIDATION_AMOUNT,
    POSITION_LIQUIDATABLE,
};

/* Arrays, not pointers: pointers in constant data would need relocations that the linker does not do. */
typedef struct {
    u32 number;
    char name[36];
    char message[88];
} Failure;

static const Failure FAILURES[] = {
    {INSTRUCTION_MISSING, "InstructionMissing", "Instruction discriminator not provided"},
    {INSTRUCTION_FALLBACK_NOT_FOUND, "InstructionFallbackNotFound", "Fallback functions are not supported"},
    {INSTRUCTION_DID_NOT_DESERIALIZE, "InstructionDidNotDeserialize",
     "The program could not deserialize the given instruction"},
    {CONSTRAINT_MUT, "ConstraintMut", "A mut constraint was violated"},
    {CONSTRAINT_HAS_ONE, "ConstraintHasOne", "A has one constraint was violated"},
    {CONSTRAINT_SEEDS, "ConstraintSeeds", "A seeds constraint was violated"},
    {CONSTRAINT_DUPLICATE_MUTABLE_ACCOUNT, "ConstraintDuplicateMutableAccount",
     "A duplicate mutable account constraint was violated"},
    {ACCOUNT_DISCRIMINATOR_NOT_FOUND, "AccountDiscriminatorNotFound", "No discriminator was found on the account"},
    {ACCOUNT_DISCRIMINATOR_MISMATCH, "AccountDiscriminatorMismatch",
     "Account discriminator did not match what was expected"},
    {ACCOUNT_DID_NOT_DESERIALIZE, "AccountDidNotDeserialize", "Failed to deserialize the account"},
    {ACCOUNT_NOT_ENOUGH_KEYS, "AccountNotEnoughKeys", "Not enough account keys given to the instruction"},
    {ACCOUNT_OWNED_BY_WRONG_PROGRAM, "AccountOwnedByWrongProgram",
     "The given account is owned by a different program than expected"},
    {INVALID_PROGRAM_ID, "InvalidProgramId", "Program ID was not as expected"},
    {ACCOUNT_NOT_SIGNER, "AccountNotSigner", "The given account did not sign"},
    {ACCOUNT_NOT_INITIALIZED, "AccountNotInitialized",
     "The program expected this account to be already initialized"},
    {INIT_PAYER_AS_PROGRAM_ACCOUNT, "TryingToInitPayerAsProgramAccount",
     "You cannot/should not initialize the payer account as a program account"},
    {INVALID_LEVERAGE, "InvalidLeverage", "Leverage must be between 1 and 1000"},
    {INVALID_SIZE, "InvalidSize", "Position size must be above zero"},
    {INVALID_COLLATERAL, "InvalidCollateral", "Collateral must be above zero"},
    {ALREADY_LIQUIDATED, "AlreadyLiquidated", "Position is already liquidated"},
    {POSITION_NOT_LIQUIDATABLE, "PositionNotLiquidatable", "Position is at or above its maintenance margin"},
    {UNAUTHORIZED, "Unauthorized", "Price account does not belong to the feed of this symbol"},
    {OVERFLOW, "Overflow", "Arithmetic result does not fit into 64 bits"},
    {DIVISION_BY_ZERO, "DivisionByZero", "Price is below the smallest unit"},
    {STALE_PRICE, "StalePrice", "Price is more than 60 seconds away from the clock"},
    {PRICE_DEVIATION_TOO_HIGH, "PriceDeviationTooHigh",
     "Price is not positive, not fully verified, or its confidence is above 1 percent"},
    {INVALID_LIQUIDATION_AMOUNT, "InvalidLiquidationAmount",
     "Amount must be above zero, below the size, and leave the position solvent"},
    {POSITION_LIQUIDATABLE, "PositionLiquidatable", "Position is below its maintenance margin"},
};

static const Failure *find_failure(u64 number) {
    u64 i = 0;
    while (FAILURES[i].number != number) {
        i++;
    }
    return &FAILURES[i];
}

static void put_padded(Buffer *line, const char *text) {
    u64 length = 0;
    while (text[length] != 0) {
        length++;
    }
    put_bytes(line, (const u8 *)text, length);
}

static void log_text(Text text) {
    sol_log_(text.bytes, text.length);
}

/* Logs an error as caused by an account (or by none: NULL) and returns its number. */
static u64 fail_account(u64 number, const char *account) {
    const Failure *failure = find_failure(number);
    Buffer line;
    line.length = 0;
    if (account == NULL) {
        put_text(&line, TEXT("AnchorError occurred. Error Code: "));
    } else {
        put_text(&line, TEXT("AnchorError caused by account: "));
        put_padded(&line, account);
        put_text(&line, TEXT(". Error Code: "));
    }
    put_padded(&line, failure->name);
    put_text(&line, TEXT(". Error Number: "));
    put_decimal(&line, number);
    put_text(&line, TEXT(". Error Message: "));
    put_padded(&line, failure->message);
    put_text(&line, TEXT("."));
    sol_log_(line.bytes, line.length);
    return number;
}

static u64 fail(u64 number) {
    return fail_account(number, NULL);
}

/* The same for a comparison of two keys, which Anchor logs below the line. */
static u64 fail_keys(u64 number, const char *account, const u8 *left, const u8 *right) {
    fail_account(number, account);
    log_text(TEXT("Left:"));
    sol_log_pubkey(left);
    log_text(TEXT("Right:"));
    sol_log_pubkey(right);
    return number;
}

#endif
