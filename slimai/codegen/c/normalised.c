/* Steep functions: the leading bit of the input is split off, the rest looked up ("normalised" in docs/arithmetic.md,
   section 3). */

/*@ helper leading_place */
/* n of 2^n <= size < 2^(n + 1), for 1 <= size <= 2^16. */
static int32_t leading_place(int32_t size)
{
    int32_t n = 0;
    while ((size >> (n + 1)) != 0) {
        n++;
    }
    return n;
}

/*@ helper mantissa */
/* A function of u = size / 2^n in 1/2^30: the line between two of 257 knots. */
static int64_t mantissa(int32_t size, int32_t n, const int32_t *knots)
{
    const int32_t place = (n <= 15 ? size << (15 - n) : size >> 1) - 32768;
    const int32_t at = place / 128;
    const int64_t slope = (int64_t)knots[at + 1] - knots[at];
    return knots[at] + ((slope * (place % 128) + 64) >> 7);
}

/*@ kernel power x_t y_t */
/* x^p: knots of h, and for each n the multiplier and the shift of 2^(n p). `numbers`: 0 for a p that is no integer, 1
   for an odd, 2 for an even one; whether 0^p is endless; the zero point of y, low, high. */
void power(const x_t *x, int32_t count, const int32_t *knots, const int32_t *multiplier, const uint8_t *shift,
           const int32_t numbers[5], y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        int32_t size = (int32_t)x[i];
        const int32_t negated = numbers[0] == 1 && size < 0;
        int64_t value;
        if (size < 0) {
            size = numbers[0] == 0 ? 0 : -size;
        }
        if (size == 0) {
            value = numbers[1] != 0 ? (int64_t)1 << 40 : 0;
        } else {
            const int32_t n = leading_place(size);
            value = (mantissa(size, n, knots) * multiplier[n] + half(shift[n])) >> shift[n];
        }
        y[i] = (y_t)clamp_s64((negated != 0 ? -value : value) + numbers[2], numbers[3], numbers[4]);
    }
}

/*@ kernel logarithm x_t y_t */
/* `numbers`: multiplier, offset, shift; `limits`: the zero point of y, low, high. */
void logarithm(const x_t *x, int32_t count, const int32_t *knots, const int64_t numbers[3], const int32_t limits[3],
               y_t *y)
{
    const int32_t shift = (int32_t)numbers[2];
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t size = (int32_t)x[i];
        int64_t value = limits[1];
        if (size > 0) {
            const int32_t n = leading_place(size);
            const int64_t natural = (int64_t)n * 744261118 + mantissa(size, n, knots); /* rhe(2^30 ln 2) */
            value = ((natural * numbers[0] + numbers[1] + half(shift)) >> shift) + limits[0];
        }
        y[i] = (y_t)clamp_s64(value, limits[1], limits[2]);
    }
}

/*@ kernel quotient x_t w_t y_t */
/* a / b: knots of 1 / u, and for each n of b the multiplier and the shift. 0 / 0 is 0, other quotients by 0 are endless.
   `limits`: the zero point of y, low, high. */
void quotient(const x_t *a, const w_t *b, const nest *n, int32_t zero_a, int32_t zero_b, const int32_t *knots,
              const int32_t *multiplier, const uint8_t *shift, const int32_t limits[3], y_t *y)
{
    int32_t i0, i1, i2, i3, i4, i5;
    for (i0 = 0; i0 < n->size[0]; i0++) {
        for (i1 = 0; i1 < n->size[1]; i1++) {
            for (i2 = 0; i2 < n->size[2]; i2++) {
                for (i3 = 0; i3 < n->size[3]; i3++) {
                    for (i4 = 0; i4 < n->size[4]; i4++) {
                        const x_t *p = a + i0 * n->a[0] + i1 * n->a[1] + i2 * n->a[2] + i3 * n->a[3] + i4 * n->a[4];
                        const w_t *r = b + i0 * n->b[0] + i1 * n->b[1] + i2 * n->b[2] + i3 * n->b[3] + i4 * n->b[4];
                        for (i5 = 0; i5 < n->size[5]; i5++) {
                            const int32_t over = (int32_t)p[i5 * n->a[5]] - zero_a;
                            const int32_t under = (int32_t)r[i5 * n->b[5]] - zero_b;
                            const int32_t size = under < 0 ? -under : under;
                            int64_t value = over != 0 ? (int64_t)1 << 40 : 0;
                            if (size != 0) {
                                const int32_t place = leading_place(size);
                                const int64_t whole = over < 0 ? -(int64_t)over : over;
                                value = (whole * mantissa(size, place, knots) + 16384) >> 15;
                                value = (value * multiplier[place] + half(shift[place])) >> shift[place];
                            }
                            value = (over < 0) != (under < 0) ? -value : value;
                            *y++ = (y_t)clamp_s64(value + limits[0], limits[1], limits[2]);
                        }
                    }
                }
            }
        }
    }
}
