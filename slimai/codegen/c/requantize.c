/* Requantization: from a sum to an output integer (docs/arithmetic.md, section 2). */

/*@ helper clamp_s64 */
static int32_t clamp_s64(int64_t value, int32_t low, int32_t high)
{
    if (value < low) {
        return low;
    }
    return value > high ? high : (int32_t)value;
}

/*@ helper clamp_s32 */
static int32_t clamp_s32(int32_t value, int32_t low, int32_t high)
{
    const int32_t raised = value < low ? low : value;
    return raised > high ? high : raised;
}

/*@ helper rounded_s32 */
/* (value + half(shift)) >> shift of value < 2^31 - 1, in 32 bits and without a branch; from 32 on nothing is left. */
static int32_t rounded_s32(int32_t value, int32_t shift)
{
    const int32_t most = shift < 32 ? shift : 32, up = (most + 31) / 32;
    return ((value >> (most - up)) + up) >> up;
}

/*@ helper half */
/* 2^(n - 1), or 0 when n is 0 */
static int64_t half(int32_t n)
{
    return n > 0 ? (int64_t)1 << (n - 1) : 0;
}

/*@ helper limit_sum */
/* What an accumulator of `bits` bits holds of a sum. */
static int64_t limit_sum(int64_t sum, int32_t bits, int32_t wraps)
{
    int64_t high, span;
    if (bits == 0) {
        return sum;
    }
    high = ((int64_t)1 << (bits - 1)) - 1;
    if (sum <= high && sum >= -high - 1) {
        return sum;
    }
    if (wraps == 0) {
        return sum > high ? high : -high - 1;
    }
    span = (int64_t)1 << bits;
    sum = (sum + high + 1) % span;
    if (sum < 0) {
        sum += span;
    }
    return sum - high - 1;
}

/*@ helper scaled */
/* (value * multiplier + half(shift)) >> shift for |value| < 2^47, 0 <= multiplier < 2^31, 0 <= shift <= 62. The product
   may need 78 bits and is taken in two halves. Below a shift of 16, value is cut at 2^30: every output is at its
   limit there. */
static int64_t scaled(int64_t value, int64_t multiplier, int32_t shift)
{
    const int32_t low_shift = shift < 16 ? shift : 16;
    int64_t upper, lower;
    if (shift < 16) {
        value = value > 1073741824 ? 1073741824 : value;
        value = value < -1073741824 ? -1073741824 : value;
    }
    upper = value >> 16;
    lower = value - upper * 65536;
    lower = (lower * multiplier + half(shift)) >> low_shift;
    upper = upper * multiplier * ((int64_t)1 << (16 - low_shift));
    return (upper + lower) >> (shift - low_shift);
}

/*@ helper shifted_away */
/* value / 2^shift, rounded half away from zero */
static int64_t shifted_away(int64_t value, int32_t shift)
{
    return (value + half(shift) - (int64_t)(value < 0 && shift > 0)) >> shift;
}

/*@ helper two_roundings */
/* value * multiplier * 2^(exponent - 31): the high product half up, then the right shift half away from zero. */
static int64_t two_roundings(int64_t value, int64_t multiplier, int32_t exponent)
{
    if (exponent > 0) {
        const int64_t most = ((int64_t)1 << (47 - exponent)) - 1;
        value = value > most ? most : value;
        value = value < -most ? -most : value;
        return scaled(value * ((int64_t)1 << exponent), multiplier, 31);
    }
    return shifted_away(scaled(value, multiplier, 31), -exponent);
}

/*@ helper rounded_clamped */
/* zero + rounded_s32(value, shift), clamped; the sum is cut before it could leave 32 bits. */
static int32_t rounded_clamped(int32_t value, int32_t shift, int32_t zero, int32_t low, int32_t high)
{
    return clamp_s32(rounded_s32(value, shift), low - zero, high - zero) + zero;
}

/*@ helper xi_sym_s32 */
static int32_t xi_sym_s32(int32_t sum, int32_t channel, const xi_sym_table *q)
{
    const int32_t at = channel * q->step;
    const int32_t narrow = clamp_s32(rounded_s32(sum, q->pre_shift[at]), -32768, 32767);
    const int32_t product = narrow * (int32_t)q->multiplier[at]; /* of 16 bits each, one without a sign */
    return rounded_clamped(product, q->shift[at], q->zero, q->low, q->high);
}

/*@ helper xi_sym_s64 */
static int32_t xi_sym_s64(int64_t sum, int32_t channel, const xi_sym_table *q)
{
    const int32_t at = channel * q->step;
    const int32_t p = q->pre_shift[at], shift = q->shift[at];
    const int64_t held = limit_sum(sum, q->acc_bits, q->acc_wraps);
    const int32_t narrow = clamp_s64((held + half(p)) >> p, -32768, 32767);
    const int64_t product = (int64_t)narrow * q->multiplier[at];
    return clamp_s64(((product + half(shift)) >> shift) + q->zero, q->low, q->high);
}

/*@ helper single_s32 */
static int32_t single_s32(int32_t sum, int32_t channel, const single_table *q)
{
    const int32_t at = channel * q->step, shift = q->shift[at];
    const int64_t product = (int64_t)sum * q->multiplier[at];
    return clamp_s64(((product + half(shift)) >> shift) + q->zero, q->low, q->high);
}

/*@ helper single_s64 */
static int32_t single_s64(int64_t sum, int32_t channel, const single_table *q)
{
    const int32_t at = channel * q->step;
    const int64_t held = limit_sum(sum, q->acc_bits, q->acc_wraps);
    return clamp_s64(scaled(held, q->multiplier[at], q->shift[at]) + q->zero, q->low, q->high);
}

/*@ helper high_s32 */
/* (value * factor + 2^30) >> 31 for a factor of at most 2^31. Raised by 2^31 the value has no sign, which makes the product
   cheap and adds just factor to the result. */
static int32_t high_s32(int32_t value, uint32_t factor)
{
    const uint32_t raised = (uint32_t)value + 2147483648u;
    return (int32_t)((uint32_t)(((uint64_t)raised * factor + 1073741824u) >> 31) - factor);
}

/*@ helper gemmlowp_s32 */
static int32_t gemmlowp_s32(int32_t sum, int32_t channel, const gemmlowp_table *q)
{
    const int32_t at = channel * q->step, exponent = q->exponent[at];
    int32_t value;
    if (exponent > 0) {
        return clamp_s64(two_roundings(sum, q->multiplier[at], exponent) + q->zero, q->low, q->high);
    }
    value = high_s32(sum, (uint32_t)q->multiplier[at]);
    value -= (int32_t)(value < 0 && exponent < 0);
    return rounded_clamped(value, -exponent, q->zero, q->low, q->high);
}

/*@ helper gemmlowp_s64 */
static int32_t gemmlowp_s64(int64_t sum, int32_t channel, const gemmlowp_table *q)
{
    const int32_t at = channel * q->step;
    const int64_t held = limit_sum(sum, q->acc_bits, q->acc_wraps);
    return clamp_s64(two_roundings(held, q->multiplier[at], q->exponent[at]) + q->zero, q->low, q->high);
}

/*@ helper tflite_s64_s32 */
static int32_t tflite_s64_s32(int32_t sum, int32_t channel, const tflite_s64_table *q)
{
    const int32_t at = channel * q->step, shift = q->shift[at];
    const int64_t product = (int64_t)sum * q->multiplier[at];
    return clamp_s64(((product + half(shift)) >> shift) + q->zero, q->low, q->high);
}

/*@ helper tflite_s64_s64 */
static int32_t tflite_s64_s64(int64_t sum, int32_t channel, const tflite_s64_table *q)
{
    const int32_t at = channel * q->step;
    const int64_t held = limit_sum(sum, q->acc_bits, q->acc_wraps);
    return clamp_s64(scaled(held, q->multiplier[at], q->shift[at]) + q->zero, q->low, q->high);
}

/*@ helper bit_length */
static int32_t bit_length(uint64_t value)
{
    int32_t bits = 0;
    while (value != 0) {
        value >>= 1;
        bits++;
    }
    return bits;
}

/*@ helper double_product */
/* sum * multiplier * 2^exponent as a double holds it (53 bits, ties to even), rounded half away from zero; cut at
   +-2^40. The whole product is two words of 64 bits. */
static int64_t double_product(int64_t sum, uint64_t multiplier, int32_t exponent)
{
    const uint64_t size = sum < 0 ? (uint64_t)(-sum) : (uint64_t)sum;
    const uint64_t size_low = size & 0xFFFFFFFFu, size_high = size >> 32;
    const uint64_t factor_low = multiplier & 0xFFFFFFFFu, factor_high = multiplier >> 32;
    const uint64_t middle = size_high * factor_low + ((size_low * factor_low) >> 32);
    const uint64_t crossed = size_low * factor_high + (middle & 0xFFFFFFFFu);
    uint64_t high = size_high * factor_high + (middle >> 32) + (crossed >> 32);
    uint64_t low = (crossed << 32) | ((size_low * factor_low) & 0xFFFFFFFFu);
    const int32_t bits = high != 0 ? 64 + bit_length(high) : bit_length(low);
    uint64_t kept = low;
    int64_t result;
    if (bits > 53) {
        const int32_t drop = bits - 53;
        uint64_t rest, tie;
        if (drop < 64) {
            kept = (low >> drop) | (high << (64 - drop));
            rest = low & (((uint64_t)1 << drop) - 1);
            tie = (uint64_t)1 << (drop - 1);
        } else {
            return 0; /* |sum| < 2^47 and a multiplier of 53 bits have no more than 100 bits */
        }
        if (rest > tie || (rest == tie && (kept & 1u) != 0)) {
            kept++;
        }
        exponent += drop;
    }
    if (exponent >= 0 || bit_length(kept) + exponent > 40) {
        result = kept == 0 ? 0 : (int64_t)1 << 40;
        if (exponent >= 0 && bit_length(kept) + exponent <= 40) {
            result = (int64_t)(kept << exponent);
        }
    } else if (exponent < -60) {
        result = 0;
    } else {
        result = (int64_t)((kept + ((uint64_t)1 << (-exponent - 1))) >> -exponent);
    }
    return sum < 0 ? -result : result;
}

/*@ helper tflite_dense_s32 */
static int32_t tflite_dense_s32(int32_t sum, int32_t channel, const tflite_dense_table *q)
{
    const int32_t at = channel * q->step;
    return clamp_s64(double_product(sum, q->multiplier[at], q->exponent[at]) + q->zero, q->low, q->high);
}

/*@ helper tflite_dense_s64 */
static int32_t tflite_dense_s64(int64_t sum, int32_t channel, const tflite_dense_table *q)
{
    const int32_t at = channel * q->step;
    const int64_t held = limit_sum(sum, q->acc_bits, q->acc_wraps);
    return clamp_s64(double_product(held, q->multiplier[at], q->exponent[at]) + q->zero, q->low, q->high);
}
