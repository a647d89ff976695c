/* Requantization of eight channels side by side (docs/arithmetic.md, section 2): rows of eight sums become `used` outputs each,
   `step` from the next. Four rows are done at once, so `sum` has a multiple of four. A shift that differs from channel to
   channel is a product with a power of two here, which a compiler can do for many channels at once; or sums come 2^n times as
   large, from weights and biases that are multiplied by it, and one shift does for all channels. */

/*@ helper shift_factor */
/* 2^(31 - shift): high_s32 with it shifts right by `shift`, rounded half up. */
static uint32_t shift_factor(int32_t shift)
{
    return shift < 32 ? 2147483648u >> shift : 0;
}

/*@ helper once */
static void once(int16_t times[8])
{
    int32_t c;
    for (c = 0; c < 8; c++) {
        times[c] = 1;
    }
}

/*@ part prepare acc_t q_t */
/* Any rule: one sum after the other. `start`: biases of the channels; `reach`: a bound of their products' sums, or 0. The sums
   that follow have weights multiplied by `times`, and begin at `start`. */
static void prepare(const q_t *q, int32_t first, int32_t used, int32_t reach, acc_t *start, plain_lanes *lanes)
{
    (void)q;
    (void)reach;
    (void)start;
    lanes->first = first;
    lanes->used = used;
    once(lanes->times);
}

/*@ part tails acc_t y_t q_t tail */
static void tails(const acc_t *sum, int32_t rows, const q_t *q, const plain_lanes *lanes, int32_t step, y_t *y)
{
    int32_t j, c;
    for (j = 0; j < rows; j++) {
        for (c = 0; c < lanes->used; c++) {
            y[j * step + c] = (y_t)tail(sum[8 * j + c], lanes->first + c, q);
        }
    }
}

/*@ part stored y_t */
/* Stores the first `used` outputs of each of up to four rows of eight. */
static void stored(const y_t *made, int32_t rows, int32_t used, int32_t step, y_t *y)
{
    int32_t j, c;
    if (used == 8 && rows >= 4) {
        memcpy(y, made, 8 * sizeof(y_t));
        memcpy(y + step, made + 8, 8 * sizeof(y_t));
        memcpy(y + 2 * step, made + 16, 8 * sizeof(y_t));
        memcpy(y + 3 * step, made + 24, 8 * sizeof(y_t));
        return;
    }
    for (j = 0; j < rows && j < 4; j++) {
        for (c = 0; c < used; c++) {
            y[j * step + c] = made[8 * j + c];
        }
    }
}

/*@ helper raised_by */
/* By how many bits a sum without a first shift is raised, so that the second one is 18: what is cut at 16 bits then would give
   outputs of at least 2^11. */
static int32_t raised_by(const xi_sym_table *q, int32_t at)
{
    const int32_t near = (int32_t)(q->high - q->zero < 1024 && q->low - q->zero > -1024 && q->pre_shift[at] == 0);
    return near != 0 && q->shift[at] < 18 && q->shift[at] > 11 ? 18 - q->shift[at] : 0;
}

/*@ helper beside */
/* Fills in by how much to multiply the sums of channels so that all of them are shifted by `most`, and where they begin. Channels
   whose output no sum can change (dead ones have wild shifts) become constants. Returns a bit for each channel that has to
   stay as it is: its shift is far from the least one, or its sums would leave 31 bits. */
static int32_t beside(const xi_sym_table *q, int32_t first, int32_t used, int32_t reach, int32_t *start, int16_t *times,
                      int32_t *most)
{
    int32_t c, least = 8, alone = 0;
    *most = 0;
    for (c = 0; c < used; c++) {
        const int32_t pre = q->pre_shift[(first + c) * q->step], limit = 1610612736 - reach;
        times[c] = 1;
        if (reach > 0 && start[c] < limit && start[c] > -limit &&
            xi_sym_s32(start[c] - reach, first + c, q) == xi_sym_s32(start[c] + reach, first + c, q)) {
            times[c] = 0;
        } else {
            least = pre < least ? pre : least;
        }
    }
    for (c = 0; c < used; c++) {
        const int32_t pre = q->pre_shift[(first + c) * q->step];
        *most = times[c] != 0 && pre <= least + 6 && pre > *most ? pre : *most;
    }
    for (c = 0; c < used; c++) {
        const int32_t at = (first + c) * q->step, pre = q->pre_shift[at], grown = *most - pre + raised_by(q, at);
        const int32_t limit = grown >= 0 && grown < 7 ? (1073741824 >> grown) - reach : 0;
        if (times[c] == 0) {
            start[c] = clamp_s32(rounded_s32(start[c], pre), -32768, 32767) * ((int32_t)1 << *most);
        } else if (grown != 0 && (reach == 0 || start[c] >= limit || start[c] <= -limit)) {
            alone |= (int32_t)1 << c;
        } else if (grown != 0) {
            times[c] = (int16_t)(1 << grown);
            start[c] *= 1 << grown;
        }
    }
    return alone;
}

/*@ part xi_sym_prepare */
/* Products of 16 by 16 bits that are shifted right by 18 to 31 fit 16 bits, and their lower halves do not count: `narrow`. */
static void xi_sym_prepare(const xi_sym_table *q, int32_t first, int32_t used, int32_t reach, int32_t *start,
                           xi_sym_lanes *lanes)
{
    int32_t i, most = 0;
    lanes->first = first;
    lanes->used = used;
    lanes->narrow = (int32_t)(q->low >= -16384 && q->high < 16384 && q->zero > -16384 && q->zero < 16384);
    for (i = 0; i < 32; i++) {
        const int32_t at = (first + i % 8 % used) * q->step, shift = q->shift[at] - 16 + raised_by(q, at);
        const int32_t valid = (int32_t)(shift > 1 && shift < 16);
        const int32_t whole = (int32_t)1 << (valid != 0 ? 16 - shift : 1);
        lanes->narrow &= (int32_t)(valid != 0 && q->multiplier[at] >= 32768 && q->high - q->zero < whole / 2);
        lanes->factor[i] = (int16_t)(q->multiplier[at] - 65536);
        lanes->most[i] = (int16_t)(32767 - 32768 / whole);
        lanes->half[i] = (int16_t)(32768 / whole);
        lanes->scale[i] = (int16_t)whole;
    }
    once(lanes->times);
    lanes->alone = lanes->narrow != 0 ? beside(q, first, used, reach, start, lanes->times, &most) : 0;
    lanes->up = (int32_t)(most > 0);
    lanes->down = most - lanes->up;
}

/*@ part xi_sym_tails y_t */
/* What the first shift leaves is cut to 16 bits at 0, from both sides, where that costs a mask. Then x m >> 16 =
   (x (m - 65536) >> 16) + x for a multiplier of all 16 bits, and the second shift is a product with a power of two; `most`,
   beyond every output, keeps it from growing over 16 bits. */
static void xi_sym_tails(const int32_t *sum, int32_t rows, const xi_sym_table *q, const xi_sym_lanes *lanes, int32_t step,
                         y_t *y)
{
    const int16_t low = (int16_t)q->low, high = (int16_t)q->high, zero = (int16_t)q->zero;
    const int32_t up = lanes->up, down = lanes->down, top = 32767 + 32768 * up, span = 65535 + 65536 * up;
    uint16_t narrow[32];
    int16_t value[32];
    y_t made[32];
    int32_t j, i;
    for (j = 0; j < rows && lanes->narrow == 0; j++) {
        for (i = 0; i < lanes->used; i++) {
            y[j * step + i] = (y_t)xi_sym_s32(sum[8 * j + i], lanes->first + i, q);
        }
    }
    for (j = 0; j < rows && lanes->narrow != 0; j += 4) {
        for (i = 0; i < 32; i++) {
            const int32_t over = (sum[8 * j + i] >> down) + (up - top), under = (over < 0 ? over : 0) + span;
            narrow[i] = (uint16_t)((under > 0 ? under : 0) >> up);
        }
        for (i = 0; i < 32; i++) {
            const int16_t whole = (int16_t)(narrow[i] - 32768);
            const int16_t upper = (int16_t)((((int32_t)whole * lanes->factor[i]) >> 16) + whole);
            const int16_t lowered = upper < lanes->most[i] ? upper : lanes->most[i];
            const int16_t raised = (int16_t)(lowered + lanes->half[i]);
            const int16_t made_s16 = (int16_t)((((int32_t)raised * lanes->scale[i]) >> 16) + zero);
            const int16_t floor_s16 = made_s16 < low ? low : made_s16;
            value[i] = floor_s16 > high ? high : floor_s16;
        }
        for (i = 0; i < 32; i++) {
            made[i] = (y_t)value[i];
        }
        stored(made, rows - j, lanes->used, step, y + j * step);
    }
    for (i = 0; i < lanes->used && lanes->alone >> i != 0; i++) {
        for (j = 0; j < rows && ((lanes->alone >> i) & 1) != 0; j++) {
            y[j * step + i] = (y_t)xi_sym_s32(sum[8 * j + i], lanes->first + i, q);
        }
    }
}

/*@ part gemmlowp_prepare */
static void gemmlowp_prepare(const gemmlowp_table *q, int32_t first, int32_t used, int32_t reach, int32_t *start,
                             gemmlowp_lanes *lanes)
{
    int32_t i;
    (void)reach;
    (void)start;
    once(lanes->times);
    lanes->first = first;
    lanes->used = used;
    lanes->right = 1;
    for (i = 0; i < 32; i++) {
        const int32_t at = (first + i % 8 % used) * q->step, exponent = q->exponent[at];
        lanes->right &= (int32_t)(exponent <= 0);
        lanes->factor[i] = (uint32_t)q->multiplier[at];
        lanes->scale[i] = shift_factor(exponent < 0 ? -exponent : 0);
    }
}

/*@ part gemmlowp_tails y_t */
static void gemmlowp_tails(const int32_t *sum, int32_t rows, const gemmlowp_table *q, const gemmlowp_lanes *lanes,
                           int32_t step, y_t *y)
{
    const int32_t low = q->low - q->zero, high = q->high - q->zero, zero = q->zero;
    int32_t value[32], j, i;
    y_t made[32];
    for (j = 0; j < rows && lanes->right == 0; j++) {
        for (i = 0; i < lanes->used; i++) {
            y[j * step + i] = (y_t)gemmlowp_s32(sum[8 * j + i], lanes->first + i, q);
        }
    }
    for (j = 0; j < rows && lanes->right != 0; j += 4) {
        for (i = 0; i < 32; i++) {
            value[i] = high_s32(sum[8 * j + i], lanes->factor[i]);
        }
        for (i = 0; i < 32; i++) {
            /* halves of negative values go down, where there is a shift */
            const int32_t away = value[i] - (int32_t)(value[i] < 0 && lanes->scale[i] != 2147483648u);
            made[i] = (y_t)(clamp_s32(high_s32(away, lanes->scale[i]), low, high) + zero);
        }
        stored(made, rows - j, lanes->used, step, y + j * step);
    }
}
