/* Requantization of eight channels side by side (docs/arithmetic.md, section 2): rows of eight sums become `used` outputs each,
   `step` from the next. Four rows are done at once, so `sum` has a multiple of four. A shift that differs from channel to
   channel is a product with a power of two here, which a compiler can do for many channels at once. */

/*@ helper shift_factor */
/* 2^(31 - shift): high_s32 with it shifts right by `shift`, rounded half up. */
static uint32_t shift_factor(int32_t shift)
{
    return shift < 32 ? 2147483648u >> shift : 0;
}

/*@ part prepare q_t */
/* Any rule: one sum after the other. */
static void prepare(const q_t *q, int32_t first, int32_t used, plain_lanes *lanes)
{
    (void)q;
    lanes->first = first;
    lanes->used = used;
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

/*@ part xi_sym_prepare */
/* Products of 16 by 16 bits that are shifted right by 17 to 31 fit 16 bits, and their lower halves do not count: `narrow`. */
static void xi_sym_prepare(const xi_sym_table *q, int32_t first, int32_t used, xi_sym_lanes *lanes)
{
    int32_t i;
    lanes->first = first;
    lanes->used = used;
    lanes->narrow = (int32_t)(q->low >= -16384 && q->high < 16384 && q->zero > -16384 && q->zero < 16384);
    for (i = 0; i < 32; i++) {
        const int32_t at = (first + i % 8 % used) * q->step, shift = q->shift[at] - 16, valid = shift > 0 && shift < 16;
        const int32_t whole = (int32_t)1 << (valid != 0 ? 16 - shift : 1);
        lanes->narrow &= (int32_t)(valid != 0 && q->multiplier[at] >= 32768 && q->high - q->zero < whole / 2);
        lanes->pre[i] = shift_factor(q->pre_shift[at]);
        lanes->factor[i] = (int16_t)(q->multiplier[at] - 65536);
        lanes->most[i] = (int16_t)(32767 - 32768 / whole);
        lanes->half[i] = (uint16_t)(32768 + 32768 / whole);
        lanes->scale[i] = (uint16_t)whole;
        lanes->offset[i] = (int16_t)(whole / 2 - q->zero);
    }
}

/*@ part xi_sym_tails y_t */
/* x m >> 16 = (x (m - 65536) >> 16) + x for a multiplier of all 16 bits. The second shift is a product again, raised by 2^15 so
   that it has no sign; `most`, beyond every output, keeps it from growing over 16 bits. */
static void xi_sym_tails(const int32_t *sum, int32_t rows, const xi_sym_table *q, const xi_sym_lanes *lanes, int32_t step,
                         y_t *y)
{
    const int16_t low = (int16_t)q->low, high = (int16_t)q->high;
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
            value[i] = (int16_t)clamp_s32(high_s32(sum[8 * j + i], lanes->pre[i]), -32768, 32767);
        }
        for (i = 0; i < 32; i++) {
            const int16_t upper = (int16_t)((((int32_t)value[i] * lanes->factor[i]) >> 16) + value[i]);
            const int16_t lowered = upper < lanes->most[i] ? upper : lanes->most[i];
            const uint16_t raised = (uint16_t)(lowered + lanes->half[i]);
            const int16_t made_s16 = (int16_t)((int16_t)(((uint32_t)raised * lanes->scale[i]) >> 16) - lanes->offset[i]);
            const int16_t floor_s16 = made_s16 < low ? low : made_s16;
            value[i] = floor_s16 > high ? high : floor_s16;
        }
        for (i = 0; i < 32; i++) {
            made[i] = (y_t)value[i];
        }
        stored(made, rows - j, lanes->used, step, y + j * step);
    }
}

/*@ part gemmlowp_prepare */
static void gemmlowp_prepare(const gemmlowp_table *q, int32_t first, int32_t used, gemmlowp_lanes *lanes)
{
    int32_t i;
    lanes->first = first;
    lanes->used = used;
    lanes->right = 1;
    for (i = 0; i < 32; i++) {
        const int32_t at = (first + i % 8 % used) * q->step, exponent = q->exponent[at];
        lanes->right &= (int32_t)(exponent <= 0);
        lanes->factor[i] = (uint32_t)q->multiplier[at];
        lanes->away[i] = (int32_t)(exponent < 0);
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
            const int32_t away = value[i] - ((value[i] >> 31) & lanes->away[i]); /* halves of negative values */
            made[i] = (y_t)(clamp_s32(high_s32(away, lanes->scale[i]), low, high) + zero);
        }
        stored(made, rows - j, lanes->used, step, y + j * step);
    }
}
