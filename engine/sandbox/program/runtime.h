/* The machine the program runs on: integer types, the runtime's system calls, bytes and numbers. */
#ifndef RUNTIME_H
#define RUNTIME_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)
#define U64_MAX 0xffffffffffffffffULL
#define KEY_SIZE 32

/* A borrowed run of bytes; also the C layout of a seed and of one field of sol_log_data. */
typedef struct {
    const u8 *bytes;
    u64 length;
} Text;

#define TEXT(literal) ((Text){(const u8 *)(literal), sizeof(literal) - 1})

typedef struct {
    u64 slot;
    i64 epoch_start_timestamp;
    u64 epoch;
    u64 leader_schedule_epoch;
    i64 unix_timestamp;
} Clock;

/* The exemption threshold is a double on the wire; SBF has no floating point, so it stays raw here. */
typedef struct {
    u64 lamports_per_byte_year;
    u64 exemption_threshold_bits;
    u8 burn_percent;
} Rent;

extern void sol_log_(const u8 *text, u64 length);
extern void sol_log_pubkey(const u8 *key);
extern void sol_log_data(const Text *fields, u64 count);
extern u64 sol_get_clock_sysvar(Clock *clock);
extern u64 sol_get_rent_sysvar(Rent *rent);
extern void sol_memcpy_(u8 *target, const u8 *source, u64 length);
extern void sol_memset_(u8 *target, u8 value, u64 length);
extern void sol_memcmp_(const u8 *left, const u8 *right, u64 length, i32 *difference);
extern u64 sol_try_find_program_address(const Text *seeds, u64 count, const u8 *program_id, u8 *address, u8 *bump);
extern u64 sol_invoke_signed_c(const void *instruction, const void *infos, u64 info_count, const void *signers,
                               u64 signer_count);

static bool same_bytes(const u8 *left, const u8 *right, u64 length) {
    i32 difference = 0;
    sol_memcmp_(left, right, length, &difference);
    return difference == 0;
}

static bool same_key(const u8 *left, const u8 *right) {
    return same_bytes(left, right, KEY_SIZE);
}

/* Little endian, at any alignment. */
static u64 read_number(const u8 *bytes, u64 width) {
    u64 value = 0;
    for (u64 i = width; i > 0; i--) {
        value = value << 8 | bytes[i - 1];
    }
    return value;
}

static void write_number(u8 *bytes, u64 value, u64 width) {
    for (u64 i = 0; i < width; i++) {
        bytes[i] = (u8)(value >> (8 * i));
    }
}

#endif
