/* Unsigned and signed 256-bit integers: room for every product of the margin formulas over all u64 inputs. */
#ifndef WIDE_H
#define WIDE_H

#include "runtime.h"

/* limb[0] is the lowest. */
typedef struct {
    u64 limb[4];
} Wide;

/* Sign and magnitude; zero is never negative. */
typedef struct {
    Wide magnitude;
    bool is_negative;
} SignedWide;

static void wide_set(Wide *out, u64 value) {
    out->limb[0] = value;
    out->limb[1] = out->limb[2] = out->limb[3] = 0;
}

static bool wide_is_zero(const Wide *value) {
    return (value->limb[0] | value->limb[1] | value->limb[2] | value->limb[3]) == 0;
}

static bool wide_fits_u64(const Wide *value) {
    return (value->limb[1] | value->limb[2] | value->limb[3]) == 0;
}

/* Negative, zero or positive as left is below, equal to or above right. */
static i32 wide_compare(const Wide *left, const Wide *right) {
    for (i32 i = 3; i >= 0; i--) {
        if (left->limb[i] != right->limb[i]) {
            return left->limb[i] < right->limb[i] ? -1 : 1;
        }
    }
    return 0;
}

static void wide_add(Wide *value, const Wide *addend) {
    u64 carry = 0;
    for (i32 i = 0; i < 4; i++) {
        u64 partial = value->limb[i] + carry;
        carry = partial < carry;
        value->limb[i] = partial + addend->limb[i];
        carry += value->limb[i] < partial;
    }
}

/* The subtrahend must not be above the value. */
static void wide_subtract(Wide *value, const Wide *subtrahend) {
    u64 borrow = 0;
    for (i32 i = 0; i < 4; i++) {
        u64 partial = value->limb[i] - borrow;
        borrow = partial > value->limb[i];
        value->limb[i] = partial - subtrahend->limb[i];
        borrow += value->limb[i] > partial;
    }
}

/* 64 x 64 -> 128 bits, by halves: SBF multiplies only to 64 bits. */
static u64 multiply_high(u64 left, u64 right, u64 *low) {
    u64 left_low = left & 0xffffffff, left_high = left >> 32;
    u64 right_low = right & 0xffffffff, right_high = right >> 32;
    u64 lowest = left_low * right_low;
    u64 middle = left_high * right_low + (lowest >> 32);
    u64 other = left_low * right_high + (middle & 0xffffffff);
    *low = other << 32 | (lowest & 0xffffffff);
    return left_high * right_high + (middle >> 32) + (other >> 32);
}

/* Multiplies in place. The caller knows that the product stays below 2^256. */
static void wide_scale(Wide *value, u64 factor) {
    u64 carry = 0;
    for (i32 i = 0; i < 4; i++) {
        u64 low;
        u64 high = multiply_high(value->limb[i], factor, &low);
        value->limb[i] = low + carry;
        carry = high + (value->limb[i] < low);
    }
}

static void wide_product(Wide *out, u64 left, u64 right) {
    wide_set(out, left);
    wide_scale(out, right);
}

/* One digit of base 2^32: the quotient of (high:next) by a divisor with its top bit set and above high. */
static u64 quotient_digit(u64 high, u64 next, u64 divisor) {
    u64 divisor_high = divisor >> 32, divisor_low = divisor & 0xffffffff;
    u64 digit = high / divisor_high; /* at most two too high, and never above 2^32 */
    u64 rest = high % divisor_high;
    while (digit * divisor_low > (rest << 32 | next)) {
        digit--;
        rest += divisor_high;
        if (rest >> 32 != 0) {
            break;
        }
    }
    return digit;
}

/* (high:low) / divisor with high < divisor: schoolbook division in two digits of 32 bits. */
static u64 divide_128(u64 high, u64 low, u64 divisor, u64 *remainder) {
    u64 shift = 0;
    while ((divisor << shift) >> 63 == 0) {
        shift++;
    }
    u64 scaled = divisor << shift;
    u64 top = shift == 0 ? high : high << shift | low >> (64 - shift);
    u64 bottom = low << shift;
    u64 first = quotient_digit(top, bottom >> 32, scaled);
    u64 rest = (top << 32 | bottom >> 32) - first * scaled;
    u64 second = quotient_digit(rest, bottom & 0xffffffff, scaled);
    *remainder = ((rest << 32 | (bottom & 0xffffffff)) - second * scaled) >> shift;
    return first << 32 | second;
}

/* Divides in place, rounding down, and returns the remainder. The divisor must not be zero. */
static u64 wide_divide(Wide *value, u64 divisor) {
    u64 remainder = 0;
    for (i32 i = 3; i >= 0; i--) {
        if (remainder == 0 && value->limb[i] < divisor) {
            remainder = value->limb[i];
            value->limb[i] = 0;
        } else {
            value->limb[i] = divide_128(remainder, value->limb[i], divisor, &remainder);
        }
    }
    return remainder;
}

static void wide_divide_up(Wide *value, u64 divisor) {
    if (wide_divide(value, divisor) != 0) {
        Wide one;
        wide_set(&one, 1);
        wide_add(value, &one);
    }
}

static void signed_set(SignedWide *out, const Wide *magnitude, bool is_negative) {
    out->magnitude = *magnitude;
    out->is_negative = is_negative && !wide_is_zero(magnitude);
}

static void signed_add(SignedWide *value, const SignedWide *addend) {
    if (value->is_negative == addend->is_negative) {
        wide_add(&value->magnitude, &addend->magnitude);
    } else if (wide_compare(&value->magnitude, &addend->magnitude) >= 0) {
        wide_subtract(&value->magnitude, &addend->magnitude);
        value->is_negative = value->is_negative && !wide_is_zero(&value->magnitude);
    } else {
        Wide difference = addend->magnitude;
        wide_subtract(&difference, &value->magnitude);
        signed_set(value, &difference, addend->is_negative);
    }
}

/* Divides in place, rounding towards positive infinity. */
static void signed_divide_up(SignedWide *value, u64 divisor) {
    if (value->is_negative) {
        wide_divide(&value->magnitude, divisor);
        value->is_negative = !wide_is_zero(&value->magnitude);
    } else {
        wide_divide_up(&value->magnitude, divisor);
    }
}

#endif
