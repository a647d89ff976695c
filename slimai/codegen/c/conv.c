/* Sums of products with constant weights: convolution, depthwise, transposed, dense (docs/arithmetic.md, section 3).

   sum (x - z) w + bias = sum x w + (bias - z sum w): `bias` comes with the zero point in it, and padding holds z. */

/*@ part patch x_t */
/* Elements `first` to `first + count` of the patch [kernel_height][kernel_width][in_channels / groups] whose corner is at
   `top` and `left`, `zero` where it lies beyond the picture. They are stretches of neighbours: a row of the window where it
   has no gaps. */
static void patch(const x_t *x, const window *s, int32_t channel, int32_t top, int32_t left, int32_t first,
                  int32_t count, int32_t zero, x_t *to)
{
    const int32_t depth = s->in_channels / s->groups, row = s->kernel_width * depth;
    const int32_t whole = s->groups == 1 && s->dilation_x == 1 && left >= 0 && left + s->kernel_width <= s->in_width;
    const int32_t stretch = whole != 0 ? row : depth;
    int32_t ky = 0, in_row = first, begin, ix = left, k;
    if (whole != 0 && count == s->kernel_height * row && top >= 0 &&
        top + (s->kernel_height - 1) * s->dilation_y < s->in_height) {
        const x_t *from = x + (top * s->in_width + left) * s->in_channels;
        for (; ky < s->kernel_height; ky++) {
            memcpy(to, from, (size_t)row * sizeof(x_t));
            to += row;
            from += s->dilation_y * s->in_width * s->in_channels;
        }
        return;
    }
    if (first != 0) {
        ky = first / row;
        in_row = first % row;
        ix = left + in_row / depth * s->dilation_x;
    }
    begin = whole != 0 || first == 0 ? in_row : in_row % depth; /* in its stretch */
    while (count > 0) {
        const int32_t iy = top + ky * s->dilation_y, run = stretch - begin < count ? stretch - begin : count;
        if (iy < 0 || iy >= s->in_height || ix < 0 || ix >= s->in_width) {
            for (k = 0; k < run; k++) {
                to[k] = (x_t)zero;
            }
        } else {
            const x_t *from = x + (iy * s->in_width + (whole != 0 ? left : ix)) * s->in_channels + channel + begin;
            for (k = 0; k < run; k++) {
                to[k] = from[k];
            }
        }
        to += run;
        count -= run;
        in_row += run;
        ix += s->dilation_x;
        begin = 0;
        if (in_row == row) {
            in_row = 0;
            ix = left;
            ky++;
        }
    }
}

/*@ helper straight */
/* Whether the patch of a pixel is the pixel's own channels. */
static int32_t straight(const window *s)
{
    return (int32_t)(s->kernel_height * s->kernel_width * s->stride_y * s->stride_x == 1 && s->pad_top == 0 &&
                     s->pad_left == 0 && s->out_width == s->in_width && s->out_height == s->in_height);
}

/*@ part rows_of x_t */
/* The patches of `many` pixels from `pixel` on, as in `patch`, each `wide` from the next. */
static void rows_of(const x_t *x, const window *s, int32_t channel, int32_t pixel, int32_t many, int32_t first,
                    int32_t count, int32_t zero, int32_t wide, x_t *to)
{
    int32_t oy = pixel / s->out_width, ox = pixel % s->out_width, j;
    for (j = 0; j < many; j++) {
        patch(x, s, channel, oy * s->stride_y - s->pad_top, ox * s->stride_x - s->pad_left, first, count, zero,
              to + j * wide);
        ox++;
        if (ox == s->out_width) {
            ox = 0;
            oy++;
        }
    }
}

/*@ part read_weights w_t */
/* The weights from `at` on, as they lie there. */
static const w_t *read_weights(const w_t *w, int32_t at, int32_t count, w_t *to)
{
    (void)count;
    (void)to;
    return w + at;
}

/*@ part halves */
/* `count` weights of 4 bits from `at` on, two in a byte, the first in the low half: taken apart into `to`. */
static const int8_t *halves(const uint8_t *w, int32_t at, int32_t count, int8_t *to)
{
    int32_t k;
    for (k = 0; k < count; k++) {
        const int32_t half = (w[(at + k) / 2] >> ((at + k) % 2 * 4)) & 15;
        to[k] = (int8_t)((half ^ 8) - 8);
    }
    return to;
}

/*@ helper reach_of */
/* A bound of sums of so many products, where inputs and weights have 8 bits; else 0. */
static int32_t reach_of(int32_t taps, int32_t bytes)
{
    return bytes == 2 && taps < 8192 ? taps * 65536 : 0;
}

/*@ part eight_dots x_t acc_t */
/* Adds the products of `many` rows, each `wide` from the next, with the lines of `lines` in use to eight sums a row; count is a
   multiple of 16. */
static void eight_dots(const x_t *row, int32_t wide, int32_t many, int16_t lines[8][128], int32_t count, int32_t used,
                       acc_t *sum)
{
    int32_t j, k, c;
    for (j = 0; j < many && used == 8; j++) {
        acc_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
        for (k = 0; k < count; k++) {
            const int16_t value = row[k];
            s0 += (acc_t)value * lines[0][k];
            s1 += (acc_t)value * lines[1][k];
            s2 += (acc_t)value * lines[2][k];
            s3 += (acc_t)value * lines[3][k];
            s4 += (acc_t)value * lines[4][k];
            s5 += (acc_t)value * lines[5][k];
            s6 += (acc_t)value * lines[6][k];
            s7 += (acc_t)value * lines[7][k];
        }
        sum[0] += s0;
        sum[1] += s1;
        sum[2] += s2;
        sum[3] += s3;
        sum[4] += s4;
        sum[5] += s5;
        sum[6] += s6;
        sum[7] += s7;
        row += wide;
        sum += 8;
    }
    for (j = 0; j < many && used != 8; j++) {
        for (c = 0; c < used; c++) {
            acc_t only = 0;
            for (k = 0; k < count; k++) {
                const int16_t value = row[k];
                only += (acc_t)value * lines[c][k];
            }
            sum[c] += only;
        }
        row += wide;
        sum += 8;
    }
}

/*@ kernel conv x_t w_t b_t acc_t y_t q_t tail */
/* Weights [out_channels][kernel_height][kernel_width][in_channels / groups]. Eight channels by up to 32 pixels at
   once. Weights come in stretches of 128, widened to 16 bits and filled with weights of 0 to a multiple of 16; patches are taken
   where they lie, or up to 2 KiB of them are gathered. */
void conv(const x_t *x, const p_t *w, const b_t *bias, const window *s, int32_t zero, const q_t *q, y_t *y)
{
    const int32_t depth = s->in_channels / s->groups, share = s->out_channels / s->groups;
    const int32_t taps = s->kernel_height * s->kernel_width * depth, pixels = s->out_height * s->out_width;
    const int32_t reach = reach_of(taps, (int32_t)(sizeof(x_t) + sizeof(w_t)));
    const int32_t here = straight(s), gathered = taps < 128 ? (taps + 15) / 16 * 16 : 128;
    const int32_t room = 2048 / (int32_t)sizeof(x_t) / gathered;
    x_t rows[2048 / sizeof(x_t)] = {0};
    int16_t lines[8][128];
    w_t own[128];
    acc_t start[8] = {0}, sum[32 * 8] = {0};
    lanes_t lanes;
    int32_t pixel, many, o, used, c, first, j, k;
    for (o = 0; o < s->out_channels; o += used) {
        const int32_t group = o / share, left_over = (group + 1) * share - o;
        used = left_over < 8 ? left_over : 8;
        for (c = 0; c < used; c++) {
            start[c] = (acc_t)bias[o + c];
        }
        prepare(q, o, used, reach, start, &lanes);
        for (pixel = 0; pixel < pixels; pixel += many) {
            /* filled up, a patch where it lies has up to 15 elements of the next ones, which must be there */
            const int32_t behind = (pixels - pixel - 32) * s->in_channels;
            const int32_t direct = (int32_t)(here != 0 && (taps % 16 == 0 || behind > 14));
            const int32_t fitting = direct != 0 || room > 32 ? 32 : room, wide = direct != 0 ? s->in_channels : gathered;
            many = pixels - pixel < fitting ? pixels - pixel : fitting;
            for (j = 0; j < many; j++) {
                memcpy(sum + 8 * j, start, sizeof start);
            }
            for (first = 0; first < taps; first += 128) {
                const int32_t count = taps - first < 128 ? taps - first : 128, filled = (count + 15) / 16 * 16;
                const x_t *row = rows;
                for (c = 0; c < used && (pixel == 0 || taps > 128); c++) {
                    const w_t *weight = read_weights(w, (o + c) * taps + first, count, own);
                    for (k = 0; k < count; k++) {
                        lines[c][k] = (int16_t)(weight[k] * lanes.times[c]);
                    }
                    for (; k < filled; k++) {
                        lines[c][k] = 0;
                    }
                }
                if (direct != 0) {
                    row = x + pixel * wide + group * depth + first;
                } else {
                    rows_of(x, s, group * depth, pixel, many, first, count, zero, wide, rows);
                }
                eight_dots(row, wide, many, lines, filled, used, sum);
            }
            tails(sum, many, q, &lanes, s->out_channels, y + pixel * s->out_channels + o);
        }
    }
}

/*@ part strip x_t */
/* Eight channels, the input's `from`, of `count` neighbours in row `iy` from column `ix` on, each `step` from the next; `zero`
   beyond the picture. */
static void strip(const x_t *x, const window *s, const int32_t *from, int32_t iy, int32_t ix, int32_t count, int32_t zero,
                  int32_t step, int16_t *to)
{
    const int32_t inside = iy >= 0 && iy < s->in_height, last = inside != 0 ? s->in_width - ix : 0;
    const int32_t end = last < count ? last : count, begin = ix < 0 ? -ix : 0;
    const x_t *near = x;
    int32_t k, c;
    for (k = 0; k < count; k++) {
        if (k == begin && begin < end) {
            k = end; /* what lies in the picture comes below */
            if (k == count) {
                break;
            }
        }
        for (c = 0; c < 8; c++) {
            to[k * step + c] = (int16_t)zero;
        }
    }
    if (begin >= end) {
        return;
    }
    near += (iy * s->in_width + ix + begin) * s->in_channels;
    to += begin * step;
    if (from[7] - from[0] == 7) {
        near += from[0];
        for (k = begin; k < end; k++) {
            for (c = 0; c < 8; c++) {
                to[c] = (int16_t)near[c];
            }
            near += s->in_channels;
            to += step;
        }
        return;
    }
    for (k = begin; k < end; k++) {
        for (c = 0; c < 8; c++) {
            to[c] = (int16_t)near[from[c]];
        }
        near += s->in_channels;
        to += step;
    }
}

/*@ part eight_sums acc_t */
/* Adds the products of `count` taps, of eight channels each, to their sums; three taps at once, so that two more are read. */
static void eight_sums(const int16_t *x, const int16_t *w, int32_t count, acc_t *sum)
{
    int32_t i, c;
    for (c = 0; c < 8; c++) {
        acc_t only = sum[c];
        i = 0;
        do {
            only += (acc_t)x[8 * i + c] * w[8 * i + c];
            only += (acc_t)x[8 * i + 8 + c] * w[8 * i + 8 + c];
            only += (acc_t)x[8 * i + 16 + c] * w[8 * i + 16 + c];
            i += 3;
        } while (i < count);
        sum[c] = only;
    }
}

/*@ kernel depthwise x_t w_t b_t acc_t y_t q_t tail */
/* One input channel an output channel. Weights [kernel_height][kernel_width][out_channels]. Eight channels by up to sixteen
   pixels of a row at once, the kernel in tiles of up to 32 taps. A tile's input lies column by column, so that the taps of a
   pixel are neighbours. */
void depthwise(const x_t *x, const p_t *w, const b_t *bias, const window *s, int32_t zero, const q_t *q, y_t *y)
{
    const int32_t channels = s->out_channels, repeat = channels / s->in_channels;
    const int32_t tile_width = s->dilation_x == 1 && s->kernel_width <= 32 ? s->kernel_width : 1;
    const int32_t lines = 32 / tile_width, tile_height = s->kernel_height < lines ? s->kernel_height : lines;
    const int32_t fitting = (104 / tile_height - tile_width) / s->stride_x + 1, most = fitting < 16 ? fitting : 16;
    const int32_t taps = s->kernel_height * s->kernel_width;
    const int32_t reach = reach_of(taps, (int32_t)(sizeof(x_t) + sizeof(w_t)));
    const int32_t single = tile_height == s->kernel_height && tile_width == s->kernel_width;
    int16_t wide[106 * 8] = {0}, line[34 * 8] = {0};
    acc_t start[8] = {0}, sum[16 * 8] = {0};
    w_t own[8];
    lanes_t lanes;
    int32_t from[8], oy, ox, first, ky, kx, i, c, j;
    for (first = 0; first < channels; first += 8) {
        const int32_t used = channels - first < 8 ? channels - first : 8;
        int32_t ready = 0;
        for (c = 0; c < 8; c++) {
            from[c] = (first + (c < used ? c : 0)) / repeat;
            start[c] = c < used ? (acc_t)bias[first + c] : 0;
        }
        prepare(q, first, used, reach, start, &lanes);
        for (oy = 0; oy < s->out_height; oy++) {
            for (ox = 0; ox < s->out_width; ox += most) {
                const int32_t many = s->out_width - ox < most ? s->out_width - ox : most;
                for (j = 0; j < many; j++) {
                    memcpy(sum + 8 * j, start, sizeof start);
                }
                for (ky = 0; ky < s->kernel_height; ky += tile_height) {
                    const int32_t height = s->kernel_height - ky < tile_height ? s->kernel_height - ky : tile_height;
                    const int32_t count = height * tile_width, columns = (many - 1) * s->stride_x + tile_width;
                    for (kx = 0; kx < s->kernel_width; kx += tile_width) {
                        const int32_t left = ox * s->stride_x - s->pad_left + kx * s->dilation_x;
                        for (i = 0; i < height; i++) {
                            const int32_t iy = oy * s->stride_y - s->pad_top + (ky + i) * s->dilation_y;
                            strip(x, s, from, iy, left, columns, zero, 8 * height, wide + 8 * i);
                        }
                        for (i = 0; i < count && ready == 0; i++) {
                            const int32_t tap = (ky + i % height) * s->kernel_width + kx + i / height;
                            const w_t *weight = read_weights(w, tap * channels + first, used, own);
                            for (c = 0; c < 8; c++) {
                                line[8 * i + c] = (int16_t)(c < used ? weight[c] * lanes.times[c] : 0);
                            }
                        }
                        for (i = 8 * count; i < 8 * count + 16 && ready == 0; i++) {
                            line[i] = 0;
                        }
                        ready = single;
                        for (j = 0; j < many; j++) {
                            eight_sums(wide + 8 * j * s->stride_x * height, line, count, sum + 8 * j);
                        }
                    }
                }
                tails(sum, many, q, &lanes, channels, y + (oy * s->out_width + ox) * channels + first);
            }
        }
    }
}

/*@ kernel conv_transpose x_t w_t b_t acc_t y_t q_t tail */
/* Every output gathers the inputs that reach it. Weights [out_channels][kernel_height][kernel_width][in_channels /
   groups]; `bias` is as it stands, without the zero point. */
void conv_transpose(const x_t *x, const p_t *w, const b_t *bias, const window *s, int32_t zero, const q_t *q, y_t *y)
{
    const int32_t depth = s->in_channels / s->groups, share = s->out_channels / s->groups;
    w_t own[64];
    int32_t oy, ox, o, ky, kx, first, k;
    for (oy = 0; oy < s->out_height; oy++) {
        for (ox = 0; ox < s->out_width; ox++) {
            for (o = 0; o < s->out_channels; o++) {
                const int32_t taps = o * s->kernel_height * s->kernel_width * depth;
                acc_t sum = (acc_t)bias[o];
                for (ky = 0; ky < s->kernel_height; ky++) {
                    const int32_t ty = oy + s->pad_top - ky * s->dilation_y;
                    if (ty < 0 || ty % s->stride_y != 0 || ty / s->stride_y >= s->in_height) {
                        continue;
                    }
                    for (kx = 0; kx < s->kernel_width; kx++) {
                        const int32_t tx = ox + s->pad_left - kx * s->dilation_x;
                        const x_t *in;
                        const int32_t tap = taps + (ky * s->kernel_width + kx) * depth;
                        if (tx < 0 || tx % s->stride_x != 0 || tx / s->stride_x >= s->in_width) {
                            continue;
                        }
                        in = x + (ty / s->stride_y * s->in_width + tx / s->stride_x) * s->in_channels + o / share * depth;
                        for (first = 0; first < depth; first += 64) {
                            const int32_t count = depth - first < 64 ? depth - first : 64;
                            const w_t *weight = read_weights(w, tap + first, count, own);
                            for (k = 0; k < count; k++) {
                                sum += ((acc_t)in[first + k] - (acc_t)zero) * weight[k];
                            }
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
void dense(const x_t *x, const p_t *w, const b_t *bias, int32_t rows, int32_t depth, int32_t columns, const q_t *q,
           y_t *y)
{
    w_t own[64];
    int32_t row, o, first, k;
    for (row = 0; row < rows; row++) {
        for (o = 0; o < columns; o++) {
            acc_t sum = 0;
            for (first = 0; first < depth; first += 64) {
                const int32_t count = depth - first < 64 ? depth - first : 64;
                const x_t *in = x + row * depth + first;
                const w_t *weight = read_weights(w, o * depth + first, count, own);
                for (k = 0; k < count; k++) {
                    sum += (acc_t)in[k] * weight[k];
                }
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
