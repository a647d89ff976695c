/* Normalization of rows by mean and variance, and roots of sums of squares (docs/arithmetic.md, section 5). */

/*@ helper floor_root */
/* floor(sqrt(value)) of 0 <= value < 2^62 */
static int64_t floor_root(int64_t value)
{
    int64_t root = 0, bit = (int64_t)1 << 60;
    while (bit != 0) {
        if (value >= root + bit) {
            value -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
        bit >>= 2;
    }
    return root;
}

/*@ helper even_headroom */
/* The largest even h with at most 62 bits in value << h. */
static int32_t even_headroom(int64_t value)
{
    const int32_t room = 62 - bit_length((uint64_t)value);
    return room > 0 ? room / 2 * 2 : 0;
}

/*@ helper rounded_shift */
/* (value + half(shift)) >> shift */
static int64_t rounded_shift(int64_t value, int32_t shift)
{
    return (value + half(shift)) >> shift;
}

/*@ kernel normalize x_t y_t b_t */
/* Rows lie along `depth` of x [outer][depth][inner]. Gain and bias of element [i][d][k] are those at i * place[0] +
   d * place[1] + k * place[2]. `row`: f, p, the shift of N without h / 2, the shift t; `epsilon`: E. `limits`: the
   zero point of y, low, high. */
void normalize(const x_t *x, int32_t outer, int32_t depth, int32_t inner, const int32_t *gain, const b_t *bias,
               const int32_t place[3], const int32_t row[4], int64_t epsilon, const int32_t limits[3], y_t *y)
{
    int32_t i, k, d;
    for (i = 0; i < outer; i++) {
        for (k = 0; k < inner; k++) {
            const x_t *in = x + i * depth * inner + k;
            y_t *out = y + i * depth * inner + k;
            int64_t sum = 0, squares = 0, spread, mean, rest, root, inverse;
            int32_t headroom, shift;
            for (d = 0; d < depth; d++) {
                sum += in[d * inner];
            }
            mean = sum / depth;
            rest = sum - mean * depth;
            if (rest < 0) {
                mean--;
                rest += depth;
            }
            for (d = 0; d < depth; d++) {
                const int64_t centred = in[d * inner] - mean;
                squares += centred * centred;
            }
            spread = squares * ((int64_t)1 << row[0]) - rest * rest * ((int64_t)1 << row[0]) / depth + epsilon;
            headroom = even_headroom(spread);
            root = floor_root(spread * ((int64_t)1 << headroom));
            inverse = root > 0 ? ((int64_t)1 << 61) / root : 0;
            shift = row[2] - headroom / 2;
            shift = shift < 0 ? 0 : (shift > 62 ? 62 : shift);
            for (d = 0; d < depth; d++) {
                const int32_t at = i * place[0] + d * place[1] + k * place[2];
                const int64_t distance = rounded_shift((in[d * inner] - mean) * depth - rest, row[1]);
                const int64_t value = rounded_shift(distance * inverse, shift);
                const int64_t scaled_up = value * gain[at] + bias[at];
                out[d * inner] = (y_t)clamp_s64(rounded_shift(scaled_up, row[3]) + limits[0], limits[1], limits[2]);
            }
        }
    }
}

/*@ kernel reduce_l2 x_t y_t */
/* Roots of sums of squares over `over` (side a) for each place of `kept` (side a). `numbers`: multiplier and exponent of
   the scale, the zero point of y, low, high. */
void reduce_l2(const x_t *x, const nest *kept, const nest *over, int32_t zero, const int32_t numbers[5], y_t *y)
{
    int32_t i2, i3, i4, i5, r2, r3, r4, r5;
    for (i2 = 0; i2 < kept->size[2]; i2++) {
        for (i3 = 0; i3 < kept->size[3]; i3++) {
            for (i4 = 0; i4 < kept->size[4]; i4++) {
                for (i5 = 0; i5 < kept->size[5]; i5++) {
                    const x_t *in = x + i2 * kept->a[2] + i3 * kept->a[3] + i4 * kept->a[4] + i5 * kept->a[5];
                    int64_t squares = 0, value = 0;
                    int32_t headroom, shift;
                    for (r2 = 0; r2 < over->size[2]; r2++) {
                        for (r3 = 0; r3 < over->size[3]; r3++) {
                            for (r4 = 0; r4 < over->size[4]; r4++) {
                                const x_t *run = in + r2 * over->a[2] + r3 * over->a[3] + r4 * over->a[4];
                                for (r5 = 0; r5 < over->size[5]; r5++) {
                                    const int64_t centred = (int64_t)run[r5 * over->a[5]] - zero;
                                    squares += centred * centred;
                                }
                            }
                        }
                    }
                    headroom = even_headroom(squares);
                    shift = 31 - numbers[1] + headroom / 2;
                    if (shift <= 62) {
                        value = floor_root(squares * ((int64_t)1 << headroom)) * numbers[0];
                        value = rounded_shift(value, shift > 0 ? shift : 0);
                    }
                    *y++ = (y_t)clamp_s64(value + numbers[2], numbers[3], numbers[4]);
                }
            }
        }
    }
}
