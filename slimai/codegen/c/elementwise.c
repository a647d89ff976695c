/* Sums and products of two tensors, with broadcasting by strides (docs/arithmetic.md, section 3). Where shapes are equal,
   the nest is one loop and the output may take the place of an input. */

/*@ kernel add x_t w_t acc_t y_t q_t tail */
/* The "dsp" recipe: ka and kb are 16-bit weights; kb is negative for a difference. */
void add(const x_t *a, const w_t *b, const nest *n, int32_t zero_a, int32_t zero_b, int32_t ka, int32_t kb,
         const q_t *q, y_t *y)
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
                            const acc_t sum = ((acc_t)p[i5 * n->a[5]] - (acc_t)zero_a) * (acc_t)ka +
                                              ((acc_t)r[i5 * n->b[5]] - (acc_t)zero_b) * (acc_t)kb;
                            *y++ = (y_t)tail(sum, 0, q);
                        }
                    }
                }
            }
        }
    }
}

/*@ helper rescaled_operand */
/* (value << left) * multiplier * 2^(exponent - 31) with the two roundings */
static int64_t rescaled_operand(int32_t value, int32_t left, int32_t multiplier, int32_t exponent)
{
    return two_roundings((int64_t)value * ((int64_t)1 << left), multiplier, exponent);
}

/*@ kernel add_tflite x_t w_t acc_t y_t q_t tail */
/* The "tflite" recipe: scale_a and scale_b hold multiplier and exponent; sign is -1 for a difference. */
void add_tflite(const x_t *a, const w_t *b, const nest *n, int32_t zero_a, int32_t zero_b, int32_t left,
                const int32_t scale_a[2], const int32_t scale_b[2], int32_t sign, const q_t *q, y_t *y)
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
                            const int64_t va = rescaled_operand((int32_t)p[i5 * n->a[5]] - zero_a, left, scale_a[0], scale_a[1]);
                            const int64_t vb = rescaled_operand((int32_t)r[i5 * n->b[5]] - zero_b, left, scale_b[0], scale_b[1]);
                            *y++ = (y_t)tail((acc_t)(va + sign * vb), 0, q);
                        }
                    }
                }
            }
        }
    }
}

/*@ kernel squared_difference x_t w_t acc_t y_t q_t tail */
/* TFLite's: scale_a and scale_b hold multiplier and exponent; both rescaled operands are within 2^14. */
void squared_difference(const x_t *a, const w_t *b, const nest *n, int32_t zero_a, int32_t zero_b, int32_t left,
                        const int32_t scale_a[2], const int32_t scale_b[2], const q_t *q, y_t *y)
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
                            const int64_t va = rescaled_operand((int32_t)p[i5 * n->a[5]] - zero_a, left, scale_a[0], scale_a[1]);
                            const int64_t vb = rescaled_operand((int32_t)r[i5 * n->b[5]] - zero_b, left, scale_b[0], scale_b[1]);
                            *y++ = (y_t)tail((acc_t)((va - vb) * (va - vb)), 0, q);
                        }
                    }
                }
            }
        }
    }
}

/*@ kernel mul x_t w_t acc_t y_t q_t tail */
void mul(const x_t *a, const w_t *b, const nest *n, int32_t zero_a, int32_t zero_b, const q_t *q, y_t *y)
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
                            const acc_t product = ((acc_t)p[i5 * n->a[5]] - (acc_t)zero_a) *
                                                  ((acc_t)r[i5 * n->b[5]] - (acc_t)zero_b);
                            *y++ = (y_t)tail(product, 0, q);
                        }
                    }
                }
            }
        }
    }
}

/*@ kernel prelu x_t w_t y_t q_t tail */
/* Channel 0 of the table scales values, channel 1 values times their slope where the value is negative. */
void prelu(const x_t *a, const w_t *slope, const nest *n, int32_t zero, const q_t *q, y_t *y)
{
    int32_t i0, i1, i2, i3, i4, i5;
    for (i0 = 0; i0 < n->size[0]; i0++) {
        for (i1 = 0; i1 < n->size[1]; i1++) {
            for (i2 = 0; i2 < n->size[2]; i2++) {
                for (i3 = 0; i3 < n->size[3]; i3++) {
                    for (i4 = 0; i4 < n->size[4]; i4++) {
                        const x_t *p = a + i0 * n->a[0] + i1 * n->a[1] + i2 * n->a[2] + i3 * n->a[3] + i4 * n->a[4];
                        const w_t *r = slope + i0 * n->b[0] + i1 * n->b[1] + i2 * n->b[2] + i3 * n->b[3] + i4 * n->b[4];
                        for (i5 = 0; i5 < n->size[5]; i5++) {
                            const int64_t value = (int64_t)p[i5 * n->a[5]] - zero;
                            *y++ = value >= 0 ? (y_t)tail(value, 0, q) : (y_t)tail(value * r[i5 * n->b[5]], 1, q);
                        }
                    }
                }
            }
        }
    }
}
