/* Assembling log lines, events and account data, and taking arguments apart: both sides of Borsh. */
#ifndef BUFFER_H
#define BUFFER_H

#include "runtime.h"

#define BUFFER_CAPACITY 384

typedef struct {
    u64 length;
    u8 bytes[BUFFER_CAPACITY];
} Buffer;

/* What would not fit is cut off: only log lines come near the capacity, and a cut line is still a line. */
static void put_bytes(Buffer *buffer, const u8 *bytes, u64 length) {
    u64 room = BUFFER_CAPACITY - buffer->length;
    u64 taken = length < room ? length : room;
    sol_memcpy_(buffer->bytes + buffer->length, bytes, taken);
    buffer->length += taken;
}

static void put_text(Buffer *buffer, Text text) {
    put_bytes(buffer, text.bytes, text.length);
}

static void put_number(Buffer *buffer, u64 value, u64 width) {
    u8 bytes[8];
    write_number(bytes, value, width);
    put_bytes(buffer, bytes, width);
}

static void put_string(Buffer *buffer, Text text) {
    put_number(buffer, text.length, 4);
    put_text(buffer, text);
}

static void put_decimal(Buffer *buffer, u64 value) {
    u8 digits[20];
    u64 start = sizeof(digits);
    do {
        digits[--start] = (u8)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    put_bytes(buffer, digits + start, sizeof(digits) - start);
}

/* A reader that ran past its end, or met a value that its type does not have, stays failed. */
typedef struct {
    const u8 *cursor;
    u64 left;
    bool is_failed;
} Reader;

static const u8 *take_bytes(Reader *reader, u64 length) {
    const u8 *start = reader->cursor;
    if (reader->is_failed || length > reader->left) {
        reader->is_failed = true;
        return NULL;
    }
    reader->cursor += length;
    reader->left -= length;
    return start;
}

static u64 take_number(Reader *reader, u64 width) {
    const u8 *bytes = take_bytes(reader, width);
    return bytes == NULL ? 0 : read_number(bytes, width);
}

static bool take_bool(Reader *reader) {
    u64 value = take_number(reader, 1);
    if (value > 1) {
        reader->is_failed = true;
    }
    return value == 1;
}

/* How many bytes the UTF-8 character at `bytes` takes, 0 when it is not one (overlong, surrogate, cut off). */
static u64 utf8_length(const u8 *bytes, u64 left) {
    u8 first = bytes[0];
    u64 length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length <= 1) {
        return length;
    }
    if (length > left) {
        return 0;
    }
    u8 lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    u8 highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (bytes[1] < lowest || bytes[1] > highest) {
        return 0;
    }
    for (u64 i = 2; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

static bool is_utf8(const u8 *bytes, u64 length) {
    while (length > 0) {
        u64 step = utf8_length(bytes, length);
        if (step == 0) {
            return false;
        }
        bytes += step;
        length -= step;
    }
    return true;
}

static void take_string(Reader *reader, u64 longest, Text *text) {
    u64 length = take_number(reader, 4);
    if (length > longest) {
        reader->is_failed = true;
    }
    text->bytes = take_bytes(reader, length);
    text->length = reader->is_failed ? 0 : length;
    if (!reader->is_failed && !is_utf8(text->bytes, length)) {
        reader->is_failed = true;
    }
}

#endif
