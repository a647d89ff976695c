/* Linear resizes (docs/arithmetic.md, section 3); a nearest one is a `gather`. */

/*@ kernel resize_linear x_t y_t q_t tail */
/* Along each of the four axes: places of the lower and the upper element (times the stride) and the weight of the upper,
   of `unit`; an axis that stays has unit 1 and weights 0. */
void resize_linear(const x_t *x, const int32_t size[4], const int32_t unit[4], const int32_t *const lower[4],
                   const int32_t *const upper[4], const int16_t *const weight[4], int32_t zero, const q_t *q, y_t *y)
{
    int32_t i0, i1, i2, i3, corner;
    for (i0 = 0; i0 < size[0]; i0++) {
        for (i1 = 0; i1 < size[1]; i1++) {
            for (i2 = 0; i2 < size[2]; i2++) {
                for (i3 = 0; i3 < size[3]; i3++) {
                    int64_t sum = 0;
                    for (corner = 0; corner < 16; corner++) {
                        const int64_t w0 = (corner & 1) != 0 ? weight[0][i0] : unit[0] - weight[0][i0];
                        const int64_t w1 = (corner & 2) != 0 ? weight[1][i1] : unit[1] - weight[1][i1];
                        const int64_t w2 = (corner & 4) != 0 ? weight[2][i2] : unit[2] - weight[2][i2];
                        const int64_t w3 = (corner & 8) != 0 ? weight[3][i3] : unit[3] - weight[3][i3];
                        const int64_t product = w0 * w1 * w2 * w3;
                        if (product != 0) {
                            const int32_t at = ((corner & 1) != 0 ? upper : lower)[0][i0] +
                                               ((corner & 2) != 0 ? upper : lower)[1][i1] +
                                               ((corner & 4) != 0 ? upper : lower)[2][i2] +
                                               ((corner & 8) != 0 ? upper : lower)[3][i3];
                            sum += ((int64_t)x[at] - zero) * product;
                        }
                    }
                    *y++ = (y_t)tail(sum, 0, q);
                }
            }
        }
    }
}

/*@ kernel resize_tflite x_t */
/* TFLite, s8 and s16: places and weights in 1/1024 along height and width; x [height][width][channels]. */
void resize_tflite(const x_t *x, const int32_t size[3], int32_t width, const uint16_t *const lower[2],
                   const uint16_t *const upper[2], const int16_t *const weight[2], x_t *y)
{
    int32_t oy, ox, c;
    for (oy = 0; oy < size[0]; oy++) {
        const int64_t wy = weight[0][oy];
        for (ox = 0; ox < size[1]; ox++) {
            const int64_t wx = weight[1][ox];
            const x_t *a = x + (lower[0][oy] * width + lower[1][ox]) * size[2];
            const x_t *b = x + (lower[0][oy] * width + upper[1][ox]) * size[2];
            const x_t *d = x + (upper[0][oy] * width + lower[1][ox]) * size[2];
            const x_t *e = x + (upper[0][oy] * width + upper[1][ox]) * size[2];
            for (c = 0; c < size[2]; c++) {
                int64_t sum = (a[c] * (1024 - wy) + d[c] * wy) * (1024 - wx) + (b[c] * (1024 - wy) + e[c] * wy) * wx;
                sum = (sum > 0 ? sum + 524288 : sum - 524288) / 1048576;
                *y++ = (x_t)sum;
            }
        }
    }
}

/*@ helper single_rounded */
/* size * 2^exponent, size > 0, as a float32 word: 24 bits, ties to even. */
static uint32_t single_rounded(uint32_t sign, uint64_t size, int32_t exponent)
{
    int32_t bits = 0;
    uint64_t rest = size, kept;
    if (size == 0) {
        return 0;
    }
    while (rest != 0) {
        rest >>= 1;
        bits++;
    }
    if (bits > 24) {
        const int32_t drop = bits - 24;
        const uint64_t lost = size & (((uint64_t)1 << drop) - 1), tie = (uint64_t)1 << (drop - 1);
        kept = size >> drop;
        if (lost > tie || (lost == tie && (kept & 1u) != 0)) {
            kept++;
        }
        exponent += drop;
        if (kept == 16777216u) {
            kept = 8388608u;
            exponent++;
        }
    } else {
        kept = size << (24 - bits);
        exponent -= 24 - bits;
    }
    return sign | ((uint32_t)(exponent + 150) << 23) | ((uint32_t)kept & 0x7FFFFFu);
}

/*@ helper single_product */
/* a b of two float32 words in float32; no infinities, results above the subnormal ones. */
static uint32_t single_product(uint32_t a, uint32_t b)
{
    const uint32_t sign = (a ^ b) & 0x80000000u;
    const uint32_t ea = (a >> 23) & 0xFFu, eb = (b >> 23) & 0xFFu;
    if (ea == 0 || eb == 0) {
        return 0;
    }
    return single_rounded(sign, (uint64_t)((a & 0x7FFFFFu) | 0x800000u) * ((b & 0x7FFFFFu) | 0x800000u),
                          (int32_t)ea + (int32_t)eb - 300);
}

/*@ helper single_sum */
/* a + b of two float32 words in float32. */
static uint32_t single_sum(uint32_t a, uint32_t b)
{
    uint32_t large = a, small = b;
    uint64_t upper, lower;
    int32_t el, es, apart;
    if ((a & 0x7FFFFFFFu) < (b & 0x7FFFFFFFu)) {
        large = b;
        small = a;
    }
    el = (int32_t)((large >> 23) & 0xFFu);
    es = (int32_t)((small >> 23) & 0xFFu);
    if (es == 0) {
        return large;
    }
    apart = el - es;
    upper = (uint64_t)((large & 0x7FFFFFu) | 0x800000u) << 36;
    lower = (uint64_t)((small & 0x7FFFFFu) | 0x800000u) << 36;
    if (apart > 36) {
        /* All of `small` is below the bits that count: one in the last place stands for it. */
        lower = 1;
    } else {
        lower >>= apart;
    }
    upper = ((large ^ small) & 0x80000000u) != 0 ? upper - lower : upper + lower;
    return single_rounded(large & 0x80000000u, upper, el - 150 - 36);
}

/*@ helper single_truncated */
/* A float32 word of magnitude below 2^31, truncated towards zero. */
static int32_t single_truncated(uint32_t a)
{
    const int32_t exponent = (int32_t)((a >> 23) & 0xFFu) - 150;
    const int64_t size = (int64_t)((a & 0x7FFFFFu) | 0x800000u);
    int64_t value = 0;
    if ((a & 0x7FFFFFFFu) == 0 || exponent < -24) {
        return 0;
    }
    value = exponent >= 0 ? size * ((int64_t)1 << exponent) : size >> -exponent;
    return (int32_t)((a & 0x80000000u) != 0 ? -value : value);
}

/*@ kernel resize_float x_t */
/* TFLite, u8: what its float32 kernel computes, in integers. Weights are float32 words: weight[0], weight[1] of the upper
   row and column, weight[2], weight[3] of the lower ones; x [height][width][channels]. */
void resize_float(const x_t *x, const int32_t size[3], int32_t width, const uint16_t *const lower[2],
                  const uint16_t *const upper[2], const uint32_t *const weight[4], x_t *y)
{
    int32_t oy, ox, c, corner;
    for (oy = 0; oy < size[0]; oy++) {
        for (ox = 0; ox < size[1]; ox++) {
            for (c = 0; c < size[2]; c++) {
                uint32_t total = 0;
                for (corner = 0; corner < 4; corner++) {
                    /* x0 before x1 outside, y0 before y1 inside */
                    const int32_t row = (corner & 1) != 0 ? upper[0][oy] : lower[0][oy];
                    const int32_t column = (corner & 2) != 0 ? upper[1][ox] : lower[1][ox];
                    const uint32_t wy = (corner & 1) != 0 ? weight[0][oy] : weight[2][oy];
                    const uint32_t wx = (corner & 2) != 0 ? weight[1][ox] : weight[3][ox];
                    const uint32_t pixel = single_rounded(0, x[(row * width + column) * size[2] + c], 0);
                    const uint32_t part = single_product(single_product(pixel, wy), wx);
                    total = corner == 0 ? part : single_sum(total, part);
                }
                *y++ = (x_t)single_truncated(single_sum(total, 0x3F000000u));
            }
        }
    }
}
