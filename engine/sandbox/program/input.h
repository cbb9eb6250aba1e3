/* The runtime's serialized input: which accounts an instruction names, its data, the program's own id. */
#ifndef INPUT_H
#define INPUT_H

#include "runtime.h"

/* liquidate_* names five; whatever follows the eighth is skipped over unread. */
#define MAX_ACCOUNTS 8
#define SPARE_BYTES 10240
#define NOT_A_DUPLICATE 0xff

/* An account exactly as it lies in the input; writing here is writing the account. */
typedef struct {
    u8 duplicate_of;
    u8 is_signer;
    u8 is_writable;
    u8 executable;
    u32 original_data_length;
    u8 key[KEY_SIZE];
    u8 owner[KEY_SIZE];
    u64 lamports;
    u64 data_length;
    u8 data[];
} Account;

/* Two entries of `accounts` are the same pointer when the instruction names one account twice. */
typedef struct {
    Account *accounts[MAX_ACCOUNTS];
    u64 account_count;
    const u8 *data;
    u64 data_length;
    const u8 *program_id;
} Call;

/* Behind the data: the spare bytes an account may grow into, padding to 8, the rent epoch. */
static const u8 *after_account(const Account *account) {
    u64 end = (u64)account->data + account->data_length + SPARE_BYTES;
    return (const u8 *)(((end + 7) & ~7ULL) + 8);
}

static void read_call(const u8 *input, Call *call) {
    u64 total = read_number(input, 8);
    call->account_count = total < MAX_ACCOUNTS ? total : MAX_ACCOUNTS;
    input += 8;
    for (u64 i = 0; i < total; i++) {
        Account *account = (Account *)input;
        if (input[0] == NOT_A_DUPLICATE) {
            input = after_account(account);
        } else {
            /* An account beyond the eighth can only be a duplicate's original for one that is not kept. */
            account = i < MAX_ACCOUNTS ? call->accounts[input[0]] : NULL;
            input += 8;
        }
        if (i < MAX_ACCOUNTS) {
            call->accounts[i] = account;
        }
    }
    call->data_length = read_number(input, 8);
    call->data = input + 8;
    call->program_id = call->data + call->data_length;
}

#endif
