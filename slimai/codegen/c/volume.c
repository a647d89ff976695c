/* Windows over three axes of space: convolutions and pools (docs/arithmetic.md, section 3). Tensors lie as
   [depth][height][width][channels]; axes 0, 1, 2 of `s` are depth, height, width. */

/*@ helper volume_size */
/* Places of three axes. */
static int32_t volume_size(const int32_t size[3])
{
    return size[0] * size[1] * size[2];
}

/*@ helper volume_split */
/* The three indices of a place. */
static void volume_split(int32_t place, const int32_t size[3], int32_t at[3])
{
    at[2] = place % size[2];
    at[1] = place / size[2] % size[1];
    at[0] = place / size[2] / size[1];
}

/*@ helper volume_under */
/* The place that a tap of the window at `out` reads, or -1 beyond the volume. */
static int32_t volume_under(const int32_t out[3], const int32_t tap[3], const volume *s)
{
    int32_t found = 0, axis;
    for (axis = 0; axis < 3; axis++) {
        const int32_t at = out[axis] * s->stride[axis] - s->pad[axis] + tap[axis] * s->dilation[axis];
        if (at < 0 || at >= s->in_size[axis]) {
            return -1;
        }
        found = found * s->in_size[axis] + at;
    }
    return found;
}

/*@ helper volume_above */
/* The place whose tap of a transposed window falls on `out`, or -1 where there is none. */
static int32_t volume_above(const int32_t out[3], const int32_t tap[3], const volume *s)
{
    int32_t found = 0, axis;
    for (axis = 0; axis < 3; axis++) {
        const int32_t at = out[axis] + s->pad[axis] - tap[axis] * s->dilation[axis];
        if (at < 0 || at % s->stride[axis] != 0 || at / s->stride[axis] >= s->in_size[axis]) {
            return -1;
        }
        found = found * s->in_size[axis] + at / s->stride[axis];
    }
    return found;
}

/*@ kernel conv_volume x_t w_t b_t acc_t y_t q_t tail */
/* Weights [out_channels][taps][in_channels / groups]; `bias` is as it stands, without the zero point. Where `transposed`, an
   output gathers the inputs that reach it. Up to 16 channels at once. */
void conv_volume(const x_t *x, const p_t *w, const b_t *bias, const volume *s, int32_t transposed, int32_t zero,
                 const q_t *q, y_t *y)
{
    const int32_t depth = s->in_channels / s->groups, share = s->out_channels / s->groups;
    const int32_t taps = volume_size(s->kernel), places = volume_size(s->out_size);
    acc_t sum[16];
    w_t own[64];
    int32_t out[3], tap[3], place, o, block, c, t, first, k;
    for (place = 0; place < places; place++) {
        volume_split(place, s->out_size, out);
        for (o = 0; o < s->out_channels; o += block) {
            block = s->out_channels - o < 16 ? s->out_channels - o : 16;
            for (c = 0; c < block; c++) {
                sum[c] = (acc_t)bias[o + c];
            }
            for (t = 0; t < taps; t++) {
                int32_t read;
                volume_split(t, s->kernel, tap);
                read = transposed != 0 ? volume_above(out, tap, s) : volume_under(out, tap, s);
                for (c = 0; c < block && read >= 0; c++) {
                    const x_t *in = x + read * s->in_channels + (o + c) / share * depth;
                    for (first = 0; first < depth; first += 64) {
                        const int32_t count = depth - first < 64 ? depth - first : 64;
                        const w_t *weight = read_weights(w, ((o + c) * taps + t) * depth + first, count, own);
                        for (k = 0; k < count; k++) {
                            sum[c] += ((acc_t)in[first + k] - (acc_t)zero) * weight[k];
                        }
                    }
                }
            }
            for (c = 0; c < block; c++) {
                *y++ = (y_t)tail(sum[c], o + c, q);
            }
        }
    }
}

/*@ kernel max_pool_volume x_t */
/* `lowest` fills what no tap reaches. */
void max_pool_volume(const x_t *x, const volume *s, int32_t lowest, x_t *y)
{
    const int32_t taps = volume_size(s->kernel), places = volume_size(s->out_size);
    int32_t out[3], tap[3], place, t, c;
    for (place = 0; place < places; place++) {
        volume_split(place, s->out_size, out);
        for (c = 0; c < s->in_channels; c++) {
            y[c] = (x_t)lowest;
        }
        for (t = 0; t < taps; t++) {
            int32_t read;
            volume_split(t, s->kernel, tap);
            read = volume_under(out, tap, s);
            for (c = 0; c < s->in_channels && read >= 0; c++) {
                const x_t value = x[read * s->in_channels + c];
                y[c] = value > y[c] ? value : y[c];
            }
        }
        y += s->in_channels;
    }
}

/*@ part pool_volume x_t acc_t */
/* The sum of x - zero under the window at `out`, of one channel. */
static acc_t pool_volume(const x_t *x, const volume *s, const int32_t out[3], int32_t channel, int32_t zero)
{
    const int32_t taps = volume_size(s->kernel);
    acc_t sum = 0;
    int32_t tap[3], t;
    for (t = 0; t < taps; t++) {
        int32_t read;
        volume_split(t, s->kernel, tap);
        read = volume_under(out, tap, s);
        if (read >= 0) {
            sum += (acc_t)x[read * s->in_channels + channel] - (acc_t)zero;
        }
    }
    return sum;
}

/*@ kernel average_pool_volume x_t y_t acc_t q_t tail */
/* A window over counts[0][oz] * counts[1][oy] * counts[2][ox] places takes the entry of `sizes` (channels of the table). */
void average_pool_volume(const x_t *x, const volume *s, int32_t zero, const int32_t *const counts[3],
                         const int32_t *sizes, const q_t *q, y_t *y)
{
    const int32_t places = volume_size(s->out_size);
    int32_t out[3], place, c;
    for (place = 0; place < places; place++) {
        int32_t many, entry = 0;
        volume_split(place, s->out_size, out);
        many = counts[0][out[0]] * counts[1][out[1]] * counts[2][out[2]];
        while (sizes[entry] != many) {
            entry++;
        }
        for (c = 0; c < s->in_channels; c++) {
            const acc_t sum = pool_volume(x, s, out, c, zero);
            *y++ = (y_t)tail(sum, entry, q);
        }
    }
}

/*@ kernel average_pool_volume_rounded x_t y_t acc_t */
/* As `average_pool_rounded`, over three axes. */
void average_pool_volume_rounded(const x_t *x, const volume *s, int32_t zero, const int32_t *const counts[3],
                                 const int32_t limits[5], y_t *y)
{
    const int32_t places = volume_size(s->out_size);
    int32_t out[3], place, c;
    for (place = 0; place < places; place++) {
        int64_t many;
        volume_split(place, s->out_size, out);
        many = (int64_t)counts[0][out[0]] * counts[1][out[1]] * counts[2][out[2]];
        for (c = 0; c < s->in_channels; c++) {
            acc_t sum = pool_volume(x, s, out, c, zero);
            sum = limit_sum(sum, limits[2], limits[3]) + many * limits[4];
            sum = (sum > 0 ? sum + many / 2 : sum - many / 2) / many;
            *y++ = (y_t)clamp_s64(sum, limits[0], limits[1]);
        }
    }
}
