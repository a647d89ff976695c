/* Sums of products with constant weights: convolution, depthwise, transposed, dense (docs/arithmetic.md, section 3).

   sum (x - z) w + bias = sum x w + (bias - z sum w): `bias` comes with the zero point in it, and padding holds z. */

/*@ part patch x_t */
/* Elements `first` to `first + count` of the patch [kernel_height][kernel_width][in_channels / groups] under an output pixel,
   `zero` where it lies beyond the picture. They are stretches of neighbours: a row of the window where it has no gaps. */
static void patch(const x_t *x, const window *s, int32_t channel, int32_t pixel, int32_t first, int32_t count,
                  int32_t zero, int16_t *to)
{
    const int32_t depth = s->in_channels / s->groups, row = s->kernel_width * depth, end = first + count;
    const int32_t top = pixel / s->out_width * s->stride_y - s->pad_top;
    const int32_t left = pixel % s->out_width * s->stride_x - s->pad_left;
    const int32_t whole = s->groups == 1 && s->dilation_x == 1 && left >= 0 && left + s->kernel_width <= s->in_width;
    int32_t at = first, k;
    while (at < end) {
        const int32_t in_row = at % row, iy = top + at / row * s->dilation_y, ix = left + in_row / depth * s->dilation_x;
        const int32_t left_over = whole != 0 ? row - in_row : depth - in_row % depth;
        const int32_t run = left_over < end - at ? left_over : end - at;
        if (iy < 0 || iy >= s->in_height || ix < 0 || ix >= s->in_width) {
            for (k = 0; k < run; k++) {
                to[k] = (int16_t)zero;
            }
        } else {
            const x_t *from = x + (iy * s->in_width + ix) * s->in_channels + channel + in_row % depth;
            for (k = 0; k < run; k++) {
                to[k] = (int16_t)from[k];
            }
        }
        to += run;
        at += run;
    }
}

/*@ kernel conv x_t w_t b_t acc_t y_t q_t tail */
/* Weights [out_channels][kernel_height][kernel_width][in_channels / groups]. Eight pixels by up to 16 channels at once; patches
   and weights come in stretches of 64, widened to 16 bits and filled with weights of 0 to a multiple of 8. */
void conv(const x_t *x, const w_t *w, const b_t *bias, const window *s, int32_t zero, const q_t *table, y_t *y)
{
    const q_t q = *table;
    const int32_t depth = s->in_channels / s->groups, share = s->out_channels / s->groups;
    const int32_t taps = s->kernel_height * s->kernel_width * depth, pixels = s->out_height * s->out_width;
    const int32_t straight = s->kernel_height * s->kernel_width * s->stride_y * s->stride_x == 1 && s->pad_top == 0 &&
                             s->pad_left == 0 && s->out_width == s->in_width && s->out_height == s->in_height;
    int16_t rows[8][64] = {{0}}, line[64];
    acc_t sum[16][8];
    int32_t pixel, o, block, c, first, j, k;
    for (pixel = 0; pixel < pixels; pixel += 8) {
        const int32_t many = pixels - pixel < 8 ? pixels - pixel : 8;
        for (o = 0; o < s->out_channels; o += block) {
            const int32_t group = o / share;
            block = (group + 1) * share - o < 16 ? (group + 1) * share - o : 16;
            for (c = 0; c < block; c++) {
                for (j = 0; j < 8; j++) {
                    sum[c][j] = (acc_t)bias[o + c];
                }
            }
            for (first = 0; first < taps; first += 64) {
                const int32_t count = taps - first < 64 ? taps - first : 64, filled = (count + 7) / 8 * 8;
                for (j = 0; j < many; j++) {
                    if (straight != 0) {
                        const x_t *from = x + (pixel + j) * s->in_channels + group * depth + first;
                        for (k = 0; k < count; k++) {
                            rows[j][k] = (int16_t)from[k];
                        }
                    } else {
                        patch(x, s, group * depth, pixel + j, first, count, zero, rows[j]);
                    }
                }
                for (c = 0; c < block; c++) {
                    const w_t *weight = w + (o + c) * taps + first;
                    acc_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
                    for (k = 0; k < count; k++) {
                        line[k] = weight[k];
                    }
                    for (; k < filled; k++) {
                        line[k] = 0;
                    }
                    for (k = 0; k < filled; k++) {
                        s0 += (acc_t)line[k] * rows[0][k];
                        s1 += (acc_t)line[k] * rows[1][k];
                        s2 += (acc_t)line[k] * rows[2][k];
                        s3 += (acc_t)line[k] * rows[3][k];
                        s4 += (acc_t)line[k] * rows[4][k];
                        s5 += (acc_t)line[k] * rows[5][k];
                        s6 += (acc_t)line[k] * rows[6][k];
                        s7 += (acc_t)line[k] * rows[7][k];
                    }
                    sum[c][0] += s0;
                    sum[c][1] += s1;
                    sum[c][2] += s2;
                    sum[c][3] += s3;
                    sum[c][4] += s4;
                    sum[c][5] += s5;
                    sum[c][6] += s6;
                    sum[c][7] += s7;
                }
            }
            for (c = 0; c < block; c++) {
                y_t *out = y + pixel * s->out_channels + o + c;
                int32_t made[8];
                for (j = 0; j < many; j++) {
                    made[j] = tail(sum[c][j], o + c, &q);
                }
                for (j = 0; j < many; j++) {
                    out[j * s->out_channels] = (y_t)made[j];
                }
            }
        }
    }
}

/*@ kernel depthwise x_t w_t b_t acc_t y_t q_t tail */
/* One input channel an output channel. Weights [kernel_height][kernel_width][out_channels]. Eight pixels of a row by up to 32
   channels at once. */
void depthwise(const x_t *x, const w_t *w, const b_t *bias, const window *s, int32_t zero, const q_t *table, y_t *y)
{
    const q_t q = *table;
    const int32_t channels = s->out_channels, repeat = channels / s->in_channels;
    acc_t sum[8][32] = {{0}}, turned[32][8];
    int32_t oy, ox, first, ky, kx, c, j;
    for (oy = 0; oy < s->out_height; oy++) {
        for (ox = 0; ox < s->out_width; ox += 8) {
            const int32_t many = s->out_width - ox < 8 ? s->out_width - ox : 8;
            for (first = 0; first < channels; first += 32) {
                const int32_t count = channels - first < 32 ? channels - first : 32;
                y_t *out = y + (oy * s->out_width + ox) * channels + first;
                for (j = 0; j < many; j++) {
                    for (c = 0; c < count; c++) {
                        sum[j][c] = (acc_t)bias[first + c];
                    }
                }
                for (ky = 0; ky < s->kernel_height; ky++) {
                    const int32_t iy = oy * s->stride_y - s->pad_top + ky * s->dilation_y;
                    for (kx = 0; kx < s->kernel_width; kx++) {
                        const w_t *weight = w + (ky * s->kernel_width + kx) * channels + first;
                        for (j = 0; j < many; j++) {
                            const int32_t ix = (ox + j) * s->stride_x - s->pad_left + kx * s->dilation_x;
                            if (iy < 0 || iy >= s->in_height || ix < 0 || ix >= s->in_width) {
                                for (c = 0; c < count && zero != 0; c++) {
                                    sum[j][c] += (acc_t)zero * weight[c];
                                }
                            } else if (repeat == 1) {
                                const x_t *in = x + (iy * s->in_width + ix) * channels + first;
                                for (c = 0; c < count; c++) {
                                    sum[j][c] += (acc_t)in[c] * weight[c];
                                }
                            } else {
                                const x_t *in = x + (iy * s->in_width + ix) * s->in_channels;
                                for (c = 0; c < count; c++) {
                                    sum[j][c] += (acc_t)in[(first + c) / repeat] * weight[c];
                                }
                            }
                        }
                    }
                }
                for (c = 0; c < count; c++) {
                    for (j = 0; j < 8; j++) {
                        turned[c][j] = sum[j][c];
                    }
                }
                for (c = 0; c < count; c++) {
                    int32_t made[8];
                    for (j = 0; j < many; j++) {
                        made[j] = tail(turned[c][j], first + c, &q);
                    }
                    for (j = 0; j < many; j++) {
                        out[j * channels + c] = (y_t)made[j];
                    }
                }
            }
        }
    }
}

/*@ kernel conv_transpose x_t w_t b_t acc_t y_t q_t tail */
/* Every output gathers the inputs that reach it. Weights [out_channels][kernel_height][kernel_width][in_channels /
   groups]; `bias` is as it stands, without the zero point. */
void conv_transpose(const x_t *x, const w_t *w, const b_t *bias, const window *s, int32_t zero, const q_t *q, y_t *y)
{
    const int32_t depth = s->in_channels / s->groups, share = s->out_channels / s->groups;
    int32_t oy, ox, o, ky, kx, k;
    for (oy = 0; oy < s->out_height; oy++) {
        for (ox = 0; ox < s->out_width; ox++) {
            for (o = 0; o < s->out_channels; o++) {
                const w_t *weight = w + o * s->kernel_height * s->kernel_width * depth;
                acc_t sum = (acc_t)bias[o];
                for (ky = 0; ky < s->kernel_height; ky++) {
                    const int32_t ty = oy + s->pad_top - ky * s->dilation_y;
                    if (ty < 0 || ty % s->stride_y != 0 || ty / s->stride_y >= s->in_height) {
                        continue;
                    }
                    for (kx = 0; kx < s->kernel_width; kx++) {
                        const int32_t tx = ox + s->pad_left - kx * s->dilation_x;
                        const x_t *in;
                        const w_t *tap = weight + (ky * s->kernel_width + kx) * depth;
                        if (tx < 0 || tx % s->stride_x != 0 || tx / s->stride_x >= s->in_width) {
                            continue;
                        }
                        in = x + (ty / s->stride_y * s->in_width + tx / s->stride_x) * s->in_channels + o / share * depth;
                        for (k = 0; k < depth; k++) {
                            sum += ((acc_t)in[k] - (acc_t)zero) * tap[k];
                        }
                    }
                }
                y[(oy * s->out_width + ox) * s->out_channels + o] = (y_t)tail(sum, o, q);
            }
        }
    }
}

/*@ kernel dense x_t w_t b_t acc_t y_t q_t tail */
/* Rows [rows][depth] by weights [columns][depth]. */
void dense(const x_t *x, const w_t *w, const b_t *bias, int32_t rows, int32_t depth, int32_t columns, const q_t *q,
           y_t *y)
{
    int32_t row, o, k;
    for (row = 0; row < rows; row++) {
        for (o = 0; o < columns; o++) {
            const x_t *in = x + row * depth;
            const w_t *weight = w + o * depth;
            acc_t sum = 0;
            for (k = 0; k < depth; k++) {
                sum += (acc_t)in[k] * weight[k];
            }
            y[row * columns + o] = (y_t)tail(sum + (acc_t)bias[o], o, q);
        }
    }
}

/*@ kernel matmul x_t w_t acc_t y_t q_t tail */
/* Products of stacked matrices [rows][depth] and [depth][columns]; `n` walks over the stacks. */
void matmul(const x_t *a, const w_t *b, int32_t rows, int32_t depth, int32_t columns, const nest *n, int32_t zero_a,
            int32_t zero_b, const q_t *q, y_t *y)
{
    int32_t i0, i1, i2, i3, row, column, k;
    for (i0 = 0; i0 < n->size[2]; i0++) {
        for (i1 = 0; i1 < n->size[3]; i1++) {
            for (i2 = 0; i2 < n->size[4]; i2++) {
                for (i3 = 0; i3 < n->size[5]; i3++) {
                    const x_t *left = a + i0 * n->a[2] + i1 * n->a[3] + i2 * n->a[4] + i3 * n->a[5];
                    const w_t *right = b + i0 * n->b[2] + i1 * n->b[3] + i2 * n->b[4] + i3 * n->b[5];
                    for (row = 0; row < rows; row++) {
                        for (column = 0; column < columns; column++) {
                            acc_t sum = 0;
                            for (k = 0; k < depth; k++) {
                                sum += ((acc_t)left[row * depth + k] - (acc_t)zero_a) *
                                       ((acc_t)right[k * columns + column] - (acc_t)zero_b);
                            }
                            *y++ = (y_t)tail(sum, 0, q);
                        }
                    }
                }
            }
        }
    }
}
