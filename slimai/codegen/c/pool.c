/* Pooling over windows and means over axes. */

/*@ kernel max_pool x_t */
/* `lowest` fills what no tap reaches. */
void max_pool(const x_t *x, const window *s, int32_t lowest, x_t *y)
{
    int32_t oy, ox, ky, kx, c;
    for (oy = 0; oy < s->out_height; oy++) {
        for (ox = 0; ox < s->out_width; ox++) {
            x_t *out = y + (oy * s->out_width + ox) * s->in_channels;
            for (c = 0; c < s->in_channels; c++) {
                out[c] = (x_t)lowest;
            }
            for (ky = 0; ky < s->kernel_height; ky++) {
                const int32_t iy = oy * s->stride_y - s->pad_top + ky * s->dilation_y;
                for (kx = 0; kx < s->kernel_width && iy >= 0 && iy < s->in_height; kx++) {
                    const int32_t ix = ox * s->stride_x - s->pad_left + kx * s->dilation_x;
                    const x_t *in;
                    if (ix < 0 || ix >= s->in_width) {
                        continue;
                    }
                    in = x + (iy * s->in_width + ix) * s->in_channels;
                    for (c = 0; c < s->in_channels; c++) {
                        out[c] = in[c] > out[c] ? in[c] : out[c];
                    }
                }
            }
        }
    }
}

/*@ kernel average_pool x_t y_t acc_t q_t tail */
/* A window over rows[oy] * columns[ox] pixels takes the entry of `sizes` (count of them: channels of the table). */
void average_pool(const x_t *x, const window *s, int32_t zero, const int32_t *rows, const int32_t *columns,
                  const int32_t *sizes, const q_t *q, y_t *y)
{
    int32_t oy, ox, ky, kx, c;
    for (oy = 0; oy < s->out_height; oy++) {
        for (ox = 0; ox < s->out_width; ox++) {
            const int32_t pixels = rows[oy] * columns[ox];
            int32_t entry = 0;
            while (sizes[entry] != pixels) {
                entry++;
            }
            for (c = 0; c < s->in_channels; c++) {
                acc_t sum = 0;
                for (ky = 0; ky < s->kernel_height; ky++) {
                    const int32_t iy = oy * s->stride_y - s->pad_top + ky * s->dilation_y;
                    for (kx = 0; kx < s->kernel_width && iy >= 0 && iy < s->in_height; kx++) {
                        const int32_t ix = ox * s->stride_x - s->pad_left + kx * s->dilation_x;
                        if (ix >= 0 && ix < s->in_width) {
                            sum += (acc_t)x[(iy * s->in_width + ix) * s->in_channels + c] - (acc_t)zero;
                        }
                    }
                }
                *y++ = (y_t)tail(sum, entry, q);
            }
        }
    }
}

/*@ kernel average_pool_rounded x_t y_t */
/* TFLite with equal parameters on both sides: the plain sum over the number of pixels, half away from zero. `limits` holds
   the clamp, the width and overflow of the accumulator, and the zero point of y. */
void average_pool_rounded(const x_t *x, const window *s, int32_t zero, const int32_t *rows, const int32_t *columns,
                          const int32_t limits[5], y_t *y)
{
    int32_t oy, ox, ky, kx, c;
    for (oy = 0; oy < s->out_height; oy++) {
        for (ox = 0; ox < s->out_width; ox++) {
            const int64_t pixels = (int64_t)rows[oy] * columns[ox];
            for (c = 0; c < s->in_channels; c++) {
                int64_t sum = 0;
                for (ky = 0; ky < s->kernel_height; ky++) {
                    const int32_t iy = oy * s->stride_y - s->pad_top + ky * s->dilation_y;
                    for (kx = 0; kx < s->kernel_width && iy >= 0 && iy < s->in_height; kx++) {
                        const int32_t ix = ox * s->stride_x - s->pad_left + kx * s->dilation_x;
                        if (ix >= 0 && ix < s->in_width) {
                            sum += (int64_t)x[(iy * s->in_width + ix) * s->in_channels + c] - zero;
                        }
                    }
                }
                sum = limit_sum(sum, limits[2], limits[3]) + pixels * limits[4];
                sum = (sum > 0 ? sum + pixels / 2 : sum - pixels / 2) / pixels;
                *y++ = (y_t)clamp_s64(sum, limits[0], limits[1]);
            }
        }
    }
}

/*@ kernel reduce_sum x_t y_t acc_t q_t tail */
/* Sums over `over` (side a: strides in x) for each place of `kept` (side a); of a mean the count is in the multiplier. */
void reduce_sum(const x_t *x, const nest *kept, const nest *over, int32_t zero, const q_t *q, y_t *y)
{
    int32_t i2, i3, i4, i5, r2, r3, r4, r5;
    for (i2 = 0; i2 < kept->size[2]; i2++) {
        for (i3 = 0; i3 < kept->size[3]; i3++) {
            for (i4 = 0; i4 < kept->size[4]; i4++) {
                for (i5 = 0; i5 < kept->size[5]; i5++) {
                    const x_t *in = x + i2 * kept->a[2] + i3 * kept->a[3] + i4 * kept->a[4] + i5 * kept->a[5];
                    acc_t sum = 0;
                    for (r2 = 0; r2 < over->size[2]; r2++) {
                        for (r3 = 0; r3 < over->size[3]; r3++) {
                            for (r4 = 0; r4 < over->size[4]; r4++) {
                                const x_t *run = in + r2 * over->a[2] + r3 * over->a[3] + r4 * over->a[4];
                                for (r5 = 0; r5 < over->size[5]; r5++) {
                                    sum += (acc_t)run[r5 * over->a[5]] - (acc_t)zero;
                                }
                            }
                        }
                    }
                    *y++ = (y_t)tail(sum, 0, q);
                }
            }
        }
    }
}

/*@ kernel reduce_max x_t */
/* Over `over` (side a: strides in x) for each place of `kept` (side a). */
void reduce_max(const x_t *x, const nest *kept, const nest *over, x_t *y)
{
    int32_t i2, i3, i4, i5, r2, r3, r4, r5;
    for (i2 = 0; i2 < kept->size[2]; i2++) {
        for (i3 = 0; i3 < kept->size[3]; i3++) {
            for (i4 = 0; i4 < kept->size[4]; i4++) {
                for (i5 = 0; i5 < kept->size[5]; i5++) {
                    const x_t *in = x + i2 * kept->a[2] + i3 * kept->a[3] + i4 * kept->a[4] + i5 * kept->a[5];
                    x_t found = in[0];
                    for (r2 = 0; r2 < over->size[2]; r2++) {
                        for (r3 = 0; r3 < over->size[3]; r3++) {
                            for (r4 = 0; r4 < over->size[4]; r4++) {
                                const x_t *run = in + r2 * over->a[2] + r3 * over->a[3] + r4 * over->a[4];
                                for (r5 = 0; r5 < over->size[5]; r5++) {
                                    const x_t value = run[r5 * over->a[5]];
                                    found = value > found ? value : found;
                                }
                            }
                        }
                    }
                    *y++ = found;
                }
            }
        }
    }
}

/*@ kernel reduce_min x_t */
/* Over `over` (side a: strides in x) for each place of `kept` (side a). */
void reduce_min(const x_t *x, const nest *kept, const nest *over, x_t *y)
{
    int32_t i2, i3, i4, i5, r2, r3, r4, r5;
    for (i2 = 0; i2 < kept->size[2]; i2++) {
        for (i3 = 0; i3 < kept->size[3]; i3++) {
            for (i4 = 0; i4 < kept->size[4]; i4++) {
                for (i5 = 0; i5 < kept->size[5]; i5++) {
                    const x_t *in = x + i2 * kept->a[2] + i3 * kept->a[3] + i4 * kept->a[4] + i5 * kept->a[5];
                    x_t found = in[0];
                    for (r2 = 0; r2 < over->size[2]; r2++) {
                        for (r3 = 0; r3 < over->size[3]; r3++) {
                            for (r4 = 0; r4 < over->size[4]; r4++) {
                                const x_t *run = in + r2 * over->a[2] + r3 * over->a[3] + r4 * over->a[4];
                                for (r5 = 0; r5 < over->size[5]; r5++) {
                                    const x_t value = run[r5 * over->a[5]];
                                    found = value < found ? value : found;
                                }
                            }
                        }
                    }
                    *y++ = found;
                }
            }
        }
    }
}
