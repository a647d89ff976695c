/* Sums of products with constant weights: convolution, depthwise, transposed, dense (docs/arithmetic.md, section 3).

   sum (x - z) w + bias = sum x w + (bias - z sum w): `bias` comes with the zero point in it, and padding holds z. */

/*@ helper first_tap */
/* The first tap of a window that is not above (or left of) the picture. */
static int32_t first_tap(int32_t start, int32_t dilation)
{
    return start >= 0 ? 0 : (-start + dilation - 1) / dilation;
}

/*@ helper last_tap */
/* One more than the last tap of a window that is not below (or right of) the picture. */
static int32_t last_tap(int32_t start, int32_t dilation, int32_t size, int32_t taps)
{
    const int32_t inside = start >= size ? 0 : (size - 1 - start) / dilation + 1;
    return inside < taps ? inside : taps;
}

/*@ kernel conv x_t w_t b_t acc_t y_t q_t tail */
/* Weights [out_channels][kernel_height][kernel_width][in_channels / groups]. */
void conv(const x_t *x, const w_t *w, const b_t *bias, const window *s, int32_t zero, const q_t *q, y_t *y)
{
    const int32_t depth = s->in_channels / s->groups, share = s->out_channels / s->groups;
    const int32_t row = s->kernel_width * depth, taps = s->kernel_height * row;
    const int32_t whole_rows = s->groups == 1 && s->dilation_x == 1;
    int32_t oy, ox, o, ky, kx, k;
    for (oy = 0; oy < s->out_height; oy++) {
        const int32_t top = oy * s->stride_y - s->pad_top;
        const int32_t ky0 = first_tap(top, s->dilation_y);
        const int32_t ky1 = last_tap(top, s->dilation_y, s->in_height, s->kernel_height);
        for (ox = 0; ox < s->out_width; ox++) {
            const int32_t left = ox * s->stride_x - s->pad_left;
            const int32_t kx0 = first_tap(left, s->dilation_x);
            const int32_t kx1 = last_tap(left, s->dilation_x, s->in_width, s->kernel_width);
            const int32_t inside = ky0 == 0 && ky1 == s->kernel_height && kx0 == 0 && kx1 == s->kernel_width;
            const int32_t run = whole_rows != 0 ? (kx1 - kx0) * depth : depth;
            const int32_t step = whole_rows != 0 ? kx1 - kx0 : 1;
            for (o = 0; o < s->out_channels; o += 4) {
                const int32_t group = o / share;
                const int32_t many = (group + 1) * share - o < 4 ? (group + 1) * share - o : 4;
                acc_t sum[4] = {0, 0, 0, 0};
                int32_t j;
                for (ky = ky0; ky < ky1 && kx0 < kx1; ky++) {
                    const x_t *line = x + (top + ky * s->dilation_y) * s->in_width * s->in_channels + group * depth;
                    for (kx = kx0; kx < kx1; kx += step) {
                        const x_t *in = line + (left + kx * s->dilation_x) * s->in_channels;
                        const w_t *w0 = w + o * taps + ky * row + kx * depth;
                        if (many == 4) {
                            const w_t *w1 = w0 + taps, *w2 = w1 + taps, *w3 = w2 + taps;
                            acc_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                            for (k = 0; k < run; k++) {
                                const acc_t v = in[k];
                                s0 += v * w0[k];
                                s1 += v * w1[k];
                                s2 += v * w2[k];
                                s3 += v * w3[k];
                            }
                            sum[0] += s0;
                            sum[1] += s1;
                            sum[2] += s2;
                            sum[3] += s3;
                        } else {
                            for (j = 0; j < many; j++) {
                                for (k = 0; k < run; k++) {
                                    sum[j] += (acc_t)in[k] * w0[j * taps + k];
                                }
                            }
                        }
                    }
                }
                for (j = 0; j < many; j++) {
                    if (inside == 0 && zero != 0) {
                        const w_t *all = w + (o + j) * taps;
                        for (ky = 0; ky < s->kernel_height; ky++) {
                            for (kx = 0; kx < s->kernel_width; kx++) {
                                if (ky < ky0 || ky >= ky1 || kx < kx0 || kx >= kx1) {
                                    for (k = 0; k < depth; k++) {
                                        sum[j] += (acc_t)zero * all[ky * row + kx * depth + k];
                                    }
                                }
                            }
                        }
                    }
                    y[(oy * s->out_width + ox) * s->out_channels + o + j] = (y_t)tail(sum[j] + (acc_t)bias[o + j], o + j, q);
                }
                o -= 4 - many;
            }
        }
    }
}

/*@ kernel depthwise x_t w_t b_t acc_t y_t q_t tail */
/* One input channel an output channel. Weights [kernel_height][kernel_width][out_channels]. */
void depthwise(const x_t *x, const w_t *w, const b_t *bias, const window *s, int32_t zero, const q_t *q, y_t *y)
{
    const int32_t channels = s->out_channels, repeat = channels / s->in_channels;
    int32_t oy, ox, first, ky, kx, c;
    for (oy = 0; oy < s->out_height; oy++) {
        const int32_t top = oy * s->stride_y - s->pad_top;
        for (ox = 0; ox < s->out_width; ox++) {
            const int32_t left = ox * s->stride_x - s->pad_left;
            y_t *out = y + (oy * s->out_width + ox) * channels;
            for (first = 0; first < channels; first += 32) {
                const int32_t count = channels - first < 32 ? channels - first : 32;
                acc_t sum[32];
                for (c = 0; c < count; c++) {
                    sum[c] = (acc_t)bias[first + c];
                }
                for (ky = 0; ky < s->kernel_height; ky++) {
                    const int32_t iy = top + ky * s->dilation_y;
                    for (kx = 0; kx < s->kernel_width; kx++) {
                        const int32_t ix = left + kx * s->dilation_x;
                        const w_t *weight = w + (ky * s->kernel_width + kx) * channels + first;
                        if (iy < 0 || iy >= s->in_height || ix < 0 || ix >= s->in_width) {
                            if (zero != 0) {
                                for (c = 0; c < count; c++) {
                                    sum[c] += (acc_t)zero * weight[c];
                                }
                            }
                        } else if (repeat == 1) {
                            const x_t *in = x + (iy * s->in_width + ix) * channels + first;
                            for (c = 0; c < count; c++) {
                                sum[c] += (acc_t)in[c] * weight[c];
                            }
                        } else {
                            const x_t *in = x + (iy * s->in_width + ix) * s->in_channels;
                            for (c = 0; c < count; c++) {
                                sum[c] += (acc_t)in[(first + c) / repeat] * weight[c];
                            }
                        }
                    }
                }
                for (c = 0; c < count; c++) {
                    out[first + c] = (y_t)tail(sum[c], first + c, q);
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
