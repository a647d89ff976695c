/* Softmax along one axis of x [outer][depth][inner] (docs/arithmetic.md, section 3). */

/*@ kernel softmax x_t y_t */
/* The "dsp" recipe: `powers` holds E[d] for d < count, and 0 beyond; `unit` is R. `limits`: zero point, low, high. */
void softmax(const x_t *x, int32_t outer, int32_t depth, int32_t inner, const int32_t *powers, int32_t count,
             int64_t unit, const int32_t limits[3], y_t *y)
{
    int32_t i, k, d;
    for (i = 0; i < outer; i++) {
        for (k = 0; k < inner; k++) {
            const x_t *in = x + i * depth * inner + k;
            y_t *out = y + i * depth * inner + k;
            int32_t most = in[0];
            int64_t total = 0;
            for (d = 1; d < depth; d++) {
                most = in[d * inner] > most ? in[d * inner] : most;
            }
            for (d = 0; d < depth; d++) {
                const int32_t distance = most - in[d * inner];
                total += distance < count ? powers[distance] : 0;
            }
            for (d = 0; d < depth; d++) {
                const int32_t distance = most - in[d * inner];
                const int64_t power = distance < count ? powers[distance] : 0;
                const int64_t value = (power * unit + 128 * total) / (256 * total) + limits[0];
                out[d * inner] = (y_t)clamp_s64(value, limits[1], limits[2]);
            }
        }
    }
}

/*@ helper high_product */
/* (a b + 2^30) >> 31, saturated to 32 bits */
static int64_t high_product(int64_t a, int64_t b)
{
    const int64_t value = (a * b + 1073741824) >> 31;
    return value > 2147483647 ? 2147483647 : value;
}

/*@ helper saturated */
static int64_t saturated(int64_t value)
{
    value = value > 2147483647 ? 2147483647 : value;
    return value < -2147483647 - 1 ? (int64_t)-2147483647 - 1 : value;
}

/*@ helper exp_of_negative */
/* exp(a) in 0.31 fixed point of a <= 0 with 5 integer bits (gemmlowp). */
static int64_t exp_of_negative(int64_t a)
{
    static const int32_t factors[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int64_t quarter = 16777216; /* 2^24: 1/4 with 26 fractional bits */
    const int64_t part = (a & (quarter - 1)) - quarter;
    const int64_t remainder = part - a;
    const int64_t x = saturated(part * 32) + 268435456;
    const int64_t x2 = high_product(x, x);
    const int64_t x3 = high_product(x2, x), x4 = high_product(x2, x2);
    const int64_t tail = shifted_away(high_product(shifted_away(x4, 2) + x3, 715827883) + x2, 1);
    int64_t result = 1895147668 + high_product(1895147668, x + tail);
    int32_t place;
    if (a == 0) {
        return 2147483647;
    }
    for (place = 0; place < 7; place++) {
        if ((remainder & ((int64_t)1 << (24 + place))) != 0) {
            result = high_product(result, factors[place]);
        }
    }
    return result;
}

/*@ helper reciprocal */
/* 1 / (1 + a) in 0.31 fixed point of a in [0, 1): three Newton steps. */
static int64_t reciprocal(int64_t a)
{
    const int64_t sum = a + 2147483647;
    const int64_t middle = sum < 0 ? -((-sum + 1) >> 1) : (sum + 1) >> 1;
    int64_t x = 1515870810 + high_product(middle, -1010580540);
    int32_t step;
    for (step = 0; step < 3; step++) {
        const int64_t error = 536870912 - high_product(middle, x);
        x += saturated(high_product(x, error) * 4);
    }
    return saturated(x * 2);
}

/*@ helper leading_zeros */
/* Of 32 bits. */
static int32_t leading_zeros(int64_t value)
{
    int32_t zeros = 32;
    while (value > 0) {
        value >>= 1;
        zeros--;
    }
    return zeros;
}

/*@ kernel softmax_tflite_8 x_t y_t */
/* `scale`: multiplier, left shift and the largest distance that counts. `limits`: lowest integer, bits, low, high. */
void softmax_tflite_8(const x_t *x, int32_t outer, int32_t depth, int32_t inner, const int32_t scale[3],
                      const int32_t limits[4], y_t *y)
{
    int32_t i, k, d;
    for (i = 0; i < outer; i++) {
        for (k = 0; k < inner; k++) {
            const x_t *in = x + i * depth * inner + k;
            y_t *out = y + i * depth * inner + k;
            int32_t most = in[0], headroom;
            int64_t total = 0, inverse;
            for (d = 1; d < depth; d++) {
                most = in[d * inner] > most ? in[d * inner] : most;
            }
            for (d = 0; d < depth; d++) {
                const int32_t distance = most - in[d * inner];
                if (distance <= scale[2]) {
                    const int64_t left = -(int64_t)distance * ((int64_t)1 << scale[1]);
                    total += shifted_away(exp_of_negative(high_product(left, scale[0])), 12);
                }
            }
            headroom = leading_zeros(total);
            inverse = reciprocal(((total << headroom) & 0xFFFFFFFF) - ((int64_t)1 << 31));
            for (d = 0; d < depth; d++) {
                const int32_t distance = most - in[d * inner];
                int64_t value = limits[0];
                if (distance <= scale[2]) {
                    const int64_t left = -(int64_t)distance * ((int64_t)1 << scale[1]);
                    const int64_t power = exp_of_negative(high_product(left, scale[0]));
                    value += shifted_away(high_product(inverse, power), 12 - headroom + 31 - limits[1]);
                }
                out[d * inner] = (y_t)clamp_s64(value, limits[2], limits[3]);
            }
        }
    }
}

/*@ helper between_knots */
/* Linear between 513 knots over the integers of 16 bits. */
static int64_t between_knots(int64_t value, const int16_t *knots)
{
    const int64_t at = 256 + (value >> 7);
    const int64_t slope = (int64_t)knots[at + 1] - knots[at];
    return knots[at] + ((slope * (value & 0x7F) + 64) >> 7);
}

/*@ helper power_of_distance */
static int64_t power_of_distance(int32_t distance, const int32_t scale[2], const int16_t *exp_knots)
{
    const int64_t value = two_roundings(-(int64_t)distance, scale[0], scale[1]) + 32767;
    return between_knots(clamp_s64(value, -32768, 32767), exp_knots);
}

/*@ kernel softmax_tflite_16 x_t y_t */
/* Interpolated: `scale` is multiplier and exponent. `limits`: low, high. */
void softmax_tflite_16(const x_t *x, int32_t outer, int32_t depth, int32_t inner, const int32_t scale[2],
                       const int16_t *exp_knots, const int16_t *inverse_knots, const int32_t limits[2], y_t *y)
{
    int32_t i, k, d;
    for (i = 0; i < outer; i++) {
        for (k = 0; k < inner; k++) {
            const x_t *in = x + i * depth * inner + k;
            y_t *out = y + i * depth * inner + k;
            int32_t most = in[0], headroom, shift;
            int64_t total = 0, inverse;
            for (d = 1; d < depth; d++) {
                most = in[d * inner] > most ? in[d * inner] : most;
            }
            for (d = 0; d < depth; d++) {
                total += power_of_distance(most - in[d * inner], scale, exp_knots);
            }
            headroom = leading_zeros(total);
            inverse = (total * ((int64_t)1 << (headroom - 1)) + 8192) >> 14;
            inverse = between_knots(clamp_s64(inverse - 98304, -32768, 32767), inverse_knots);
            shift = 31 - headroom;
            for (d = 0; d < depth; d++) {
                const int64_t power = power_of_distance(most - in[d * inner], scale, exp_knots);
                const int32_t value = clamp_s64((power * inverse + half(shift)) >> shift, 0, 32767);
                out[d * inner] = (y_t)clamp_s64(value, limits[0], limits[1]);
            }
        }
    }
}
