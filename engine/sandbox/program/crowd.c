/* The strangers' program: it uses as many compute units as it is told, and changes nothing. */
#include "input.h"

#define HEAP ((const u8 *)0x300000000ULL)
#define HEAP_SIZE 32768
#define LINE_UNITS 32778 /* what one turn of the first loop below costs */
#define SPIN_UNITS 6     /* and one of the second */

/*
 * A line of the whole heap costs a unit a byte and hardly any time, so that a full block does not keep the machine
 * busy; it is longer than the logs of a transaction may be, so that none is kept.
 */
u64 entrypoint(const u8 *input) {
    Call call;
    read_call(input, &call);
    if (call.data_length != 4) {
        return 1;
    }
    u64 units = read_number(call.data, 4);
    for (u64 i = units / LINE_UNITS; i > 0; i--) {
        sol_log_(HEAP, HEAP_SIZE);
    }
    for (u64 i = units % LINE_UNITS / SPIN_UNITS; i > 0; i--) {
        __asm__ volatile("" : : : "memory");
    }
    return 0;
}
