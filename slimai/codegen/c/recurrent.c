/* LSTM and GRU of one direction (docs/arithmetic.md, section 6). Sums of gates are s16 with 12 bits of fraction, gates
   s16 with 15. Hidden values are kept without their zero point. */

/*@ helper s16 */
static int32_t s16(int64_t value)
{
    return clamp_s64(value, -32768, 32767);
}

/*@ helper high_s16 */
/* The high part of a doubled product of s16, rounded half up. */
static int32_t high_s16(int32_t a, int32_t b)
{
    return clamp_s32((a * b + 16384) >> 15, -32768, 32767);
}

/*@ helper exp_s16 */
/* exp of a <= 0 with `bits` integer bits, in 0.15 fixed point. */
static int32_t exp_s16(int32_t a, int32_t bits)
{
    static const int16_t factors[7] = {25520, 19875, 12055, 4435, 600, 11, 0};
    const int32_t fraction = 15 - bits, quarter = 1 << (fraction - 2);
    const int32_t part = (a & (quarter - 1)) - quarter;
    const int32_t x = clamp_s32(part * (1 << bits), -32768, 32767) + 4096;
    const int32_t x2 = high_s16(x, x), x3 = high_s16(x2, x), x4 = high_s16(x2, x2);
    const int32_t tail = (int32_t)shifted_away(high_s16((int32_t)shifted_away(x4, 2) + x3, 10923) + x2, 1);
    int32_t result = clamp_s32(28918 + high_s16(28918, x + tail), -32768, 32767);
    int32_t place;
    if (a == 0) {
        return 32767;
    }
    if (bits > 5 && a < -(32 * (1 << fraction))) {
        return 0;
    }
    for (place = -2; place < bits && place < 5; place++) {
        if (((part - a) & (1 << (fraction + place))) != 0) {
            result = high_s16(result, factors[place + 2]);
        }
    }
    return result;
}

/*@ helper divided_s16 */
/* 2 / (1 + a) of a in 0.15 fixed point, with two integer bits: three Newton steps. */
static int32_t divided_s16(int32_t a)
{
    const int32_t divisor = (a + 32768) >> 1;
    int32_t step, value = 23130 + high_s16(divisor, -15420);
    for (step = 0; step < 3; step++) {
        value += clamp_s32(high_s16(value, 8192 - high_s16(divisor, value)) * 4, -32768, 32767);
    }
    return value;
}

/*@ helper gate_sigmoid */
/* Sigmoid of a gate's sum: by the 256 knots where there are any (16-bit layers), else by fixed-point arithmetic. */
static int32_t gate_sigmoid(int32_t sum, const uint16_t *knots)
{
    if (knots != NULL) {
        const int32_t size = 3 * (sum < 0 ? -sum : sum), at = size >> 9;
        int32_t line = 32767 * 1024;
        if (at < 255) {
            line = knots[at] * 512 + (size & 511) * ((int32_t)knots[at + 1] - (int32_t)knots[at]);
        }
        return (sum >= 0 ? line + 512 : 33554432 - line + 511) >> 10;
    }
    if (sum == 0) {
        return 16384;
    } else {
        const int32_t positive = clamp_s32(divided_s16(exp_s16(sum < 0 ? sum : -sum, 3)) * 2, -32768, 32767);
        return sum > 0 ? positive : 32767 - positive;
    }
}

/*@ helper gate_tanh */
/* Tanh of s16 with `bits` integer bits, in the same two ways. */
static int32_t gate_tanh(int32_t value, int32_t bits, const uint16_t *knots)
{
    if (knots != NULL) {
        const int32_t left = bits >= 3 ? bits - 3 : 0, right = bits >= 3 ? 0 : 3 - bits;
        const int32_t scaled_up = (int32_t)((value * 3 * (1 << left) + half(right)) >> right);
        const int32_t size = scaled_up < 0 ? -scaled_up : scaled_up, at = size >> 8;
        int32_t line = 65535 * 256;
        if (at < 255) {
            line = knots[at] * 256 + (size & 255) * ((int32_t)knots[at + 1] - (int32_t)knots[at]);
        }
        return (scaled_up >= 0 ? line - 8388608 + 128 : 8388608 - line + 127) >> 8;
    }
    if (value == 0) {
        return 0;
    } else {
        const int32_t whole = divided_s16(exp_s16(value < 0 ? value : -value, bits + 1));
        const int32_t positive = clamp_s32((whole - 8192) * 4, -32768, 32767);
        return value > 0 ? positive : -positive;
    }
}

/*@ helper narrowed */
/* value * multiplier * 2^(exponent - 31) with two roundings, in 32 bits that saturate. */
static int64_t narrowed(int64_t value, int32_t multiplier, int32_t exponent)
{
    const int32_t left = exponent < 0 ? 0 : (exponent > 31 ? 31 : exponent);
    int64_t held = value > INT32_MAX ? INT32_MAX : (value < INT32_MIN ? INT32_MIN : value);
    held *= (int64_t)1 << left;
    held = held > INT32_MAX ? INT32_MAX : (held < INT32_MIN ? INT32_MIN : held);
    return shifted_away((held * multiplier + 1073741824) >> 31, exponent < 0 ? -exponent : 0);
}

/*@ helper gate_part */
/* What a sum of products adds to row `row` of the gates. */
static int64_t gate_part(int64_t sum, int32_t row, const gate_table *t, const recurrent *s)
{
    const int32_t at = row / t->share, exponent = t->exponent[at];
    const int64_t held = limit_sum(sum, s->acc_bits, s->acc_wraps);
    if (s->wide != 0) {
        return (held * t->multiplier[at] + half(exponent)) >> exponent;
    }
    return narrowed(held, t->multiplier[at], exponent);
}

/*@ helper s32 */
static int64_t s32(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : (value < INT32_MIN ? INT32_MIN : value);
}

/*@ helper joined_parts */
/* The sum of both parts of a gate, up to where the knots of 16-bit layers end; as TFLite joins them, each saturates. */
static int32_t joined_parts(int64_t first, int64_t second, const recurrent *s)
{
    const int32_t reach = s->wide != 0 ? 43691 : 32768;
    if (s->added != 0) {
        return clamp_s64(s32(first) + s32(second), -reach, reach - 1);
    }
    return s16(s16(first) + (s->wide != 0 ? s16(second) : second));
}

/*@ helper next_cell */
/* The cell behind a step: what stays of it, and what enters. */
static int32_t next_cell(int32_t staying, int32_t entering, const recurrent *s)
{
    const int32_t shift = 15 + s->bits;
    int64_t cell;
    if (s->wide != 0) {
        cell = (int64_t)s16(narrowed(staying, 1073741824, -14)) + s16(narrowed(entering, 1073741824, 1 - shift));
    } else {
        cell = shifted_away(staying, 15) + shifted_away(entering, shift);
    }
    return clamp_s32(s16(cell), s->cell_low, s->cell_high);
}

/*@ part input_sum x_t w_t acc_t */
static acc_t input_sum(const x_t *x, const w_t *w, int32_t count, int32_t zero)
{
    acc_t sum = 0;
    int32_t k;
    for (k = 0; k < count; k++) {
        sum += ((acc_t)x[k] - (acc_t)zero) * w[k];
    }
    return sum;
}

/*@ part hidden_sum h_t r_t acc_t */
static acc_t hidden_sum(const h_t *h, const r_t *r, int32_t count)
{
    acc_t sum = 0;
    int32_t k;
    for (k = 0; k < count; k++) {
        sum += (acc_t)h[k] * r[k];
    }
    return sum;
}

/*@ kernel enter_state x_t h_t */
/* An initial state without its zero point; `batch` rows, or one row for all where `step` is 0. */
void enter_state(const x_t *x, int32_t batch, int32_t units, int32_t step, int32_t zero, h_t *h)
{
    int32_t n, j;
    for (n = 0; n < batch; n++) {
        for (j = 0; j < units; j++) {
            h[n * units + j] = (h_t)((int32_t)x[n * step + j] - zero);
        }
    }
}

/*@ kernel leave_state h_t y_t */
void leave_state(const h_t *h, int32_t count, int32_t zero, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        y[i] = (y_t)((int32_t)h[i] + zero);
    }
}

/*@ kernel lstm x_t w_t r_t b_t acc_t h_t y_t */
/* Steps [steps][batch][inputs] with weights [4 * units][inputs] and [4 * units][units], gates input, output, forget,
   cell. `t`: tables of the inputs' sums, of the hidden values' in the first step, in the others. h and c are the state
   before the first step, and after the last; y (all hidden values) and cells may be null. `next` is scratch memory as
   large as h. */
void lstm(const x_t *x, const w_t *w, const r_t *r, const b_t *bias, const recurrent *s, const gate_table t[3],
          const uint16_t *knots, h_t *h, h_t *next, int16_t *c, y_t *y, int16_t *cells)
{
    const int32_t units = s->units, width = s->batch * units;
    int32_t number, n, j, gate;
    for (number = 0; number < s->steps; number++) {
        const int32_t at = s->backwards != 0 ? s->steps - 1 - number : number;
        const gate_table *of_hidden = &t[number > 0 ? 2 : 1];
        for (n = 0; n < s->batch; n++) {
            const x_t *in = x + (at * s->batch + n) * s->inputs;
            for (j = 0; j < units; j++) {
                int32_t sums[4], cell, out;
                for (gate = 0; gate < 4; gate++) {
                    const int32_t row = gate * units + j;
                    const acc_t sum = input_sum(in, w + row * s->inputs, s->inputs, s->zero_x) + (acc_t)bias[row];
                    const acc_t held = hidden_sum(h + n * units, r + row * units, units);
                    sums[gate] = joined_parts(gate_part(sum, row, t, s), gate_part(held, row, of_hidden, s), s);
                }
                cell = next_cell(gate_sigmoid(sums[2], knots) * c[n * units + j],
                                 gate_sigmoid(sums[0], knots) * gate_tanh(sums[3], 3, knots), s);
                out = gate_sigmoid(sums[1], knots) * gate_tanh(cell, s->bits, knots);
                out = clamp_s64(narrowed(out, s->multiplier, s->exponent) + s->zero, s->low, s->high);
                c[n * units + j] = (int16_t)cell;
                next[n * units + j] = (h_t)(out - s->zero);
                if (y != NULL) {
                    y[at * width + n * units + j] = (y_t)out;
                }
                if (cells != NULL) {
                    cells[at * width + n * units + j] = (int16_t)cell;
                }
            }
        }
        memcpy(h, next, (size_t)width * sizeof *h);
    }
}

/*@ kernel gru x_t w_t r_t b_t acc_t h_t y_t */
/* As lstm; gates update, reset, hidden. `offset`: biases of the hidden gate's recurrent sum, of the first step and of the
   others, where the reset gate comes after that sum (s->after), else null. `next`, `state`: scratch memory for
   [batch][units]; `kept`: for [units]. */
void gru(const x_t *x, const w_t *w, const r_t *r, const b_t *bias, const b_t *const offset[2], const recurrent *s,
         const gate_table t[3], const uint16_t *knots, h_t *h, h_t *next, int16_t *state, h_t *kept, y_t *y)
{
    const int32_t units = s->units, width = s->batch * units;
    int32_t number, n, j;
    for (j = 0; j < width; j++) {
        state[j] = (int16_t)s16(narrowed(h[j], s->entering_multiplier, s->entering_exponent));
    }
    for (number = 0; number < s->steps; number++) {
        const int32_t at = s->backwards != 0 ? s->steps - 1 - number : number;
        const gate_table *of_hidden = &t[number > 0 ? 2 : 1];
        const b_t *added = offset[number > 0 ? 1 : 0];
        for (n = 0; n < s->batch; n++) {
            const x_t *in = x + (at * s->batch + n) * s->inputs;
            const h_t *before = h + n * units;
            for (j = 0; j < units && s->after == 0; j++) {
                const int32_t row = units + j;
                const acc_t sum = input_sum(in, w + row * s->inputs, s->inputs, s->zero_x) + (acc_t)bias[row];
                const acc_t held = hidden_sum(before, r + row * units, units);
                const int32_t joined = joined_parts(gate_part(sum, row, t, s), gate_part(held, row, of_hidden, s), s);
                kept[j] = (h_t)(((int64_t)gate_sigmoid(joined, knots) * before[j] + 16384) >> 15);
            }
            for (j = 0; j < units; j++) {
                int64_t parts[3];
                int32_t gate, update, value, out;
                int64_t mixed;
                for (gate = 0; gate < 3; gate += s->after != 0 ? 1 : 2) {
                    const int32_t row = gate * units + j;
                    const h_t *held = gate == 2 && s->after == 0 ? kept : before;
                    acc_t sum = hidden_sum(held, r + row * units, units);
                    sum += gate == 2 && s->after != 0 ? (acc_t)added[j] : 0;
                    parts[gate] = gate_part(sum, row, of_hidden, s);
                    sum = input_sum(in, w + row * s->inputs, s->inputs, s->zero_x) + (acc_t)bias[row];
                    if (gate < 2) {
                        parts[gate] = gate_sigmoid(joined_parts(gate_part(sum, row, t, s), parts[gate], s), knots);
                        continue;
                    }
                    if (s->after != 0) {
                        parts[2] = (parts[1] * s32(parts[2]) + 16384) >> 15;
                    }
                    parts[2] = gate_tanh(joined_parts(gate_part(sum, row, t, s), parts[2], s), 3, knots);
                }
                update = (int32_t)parts[0];
                value = (int32_t)parts[2];
                mixed = (int64_t)update * state[n * units + j] * ((int64_t)1 << s->bits);
                mixed += (int64_t)(32768 - update) * value;
                state[n * units + j] = (int16_t)s16((mixed + half(15 + s->bits)) >> (15 + s->bits));
                out = clamp_s64(narrowed(state[n * units + j], s->multiplier, s->exponent) + s->zero, s->low, s->high);
                next[n * units + j] = (h_t)(out - s->zero);
                if (y != NULL) {
                    y[at * width + n * units + j] = (y_t)out;
                }
            }
        }
        memcpy(h, next, (size_t)width * sizeof *h);
    }
}
