/* Functions of one element: a table over every integer of the input type. */

/*@ kernel look_up x_t y_t */
void look_up(const x_t *x, int32_t count, int32_t lowest, const y_t *table, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        y[i] = table[(int32_t)x[i] - lowest];
    }
}

/*@ kernel look_up_line x_t y_t */
/* A function of a 16-bit element: 513 knots and the line between the two around it; an 8-bit output is rounded from
   1/128 of its step (`finer` bits). */
void look_up_line(const x_t *x, int32_t count, const int16_t *knots, int32_t finer, int32_t zero, int32_t low,
                  int32_t high, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t place = (int32_t)x[i] + 32768;
        const int32_t at = place / 128;
        const int32_t slope = (int32_t)knots[at + 1] - (int32_t)knots[at];
        int32_t value = (int32_t)knots[at] + ((slope * (place % 128) + 64) >> 7);
        value = finer > 0 ? ((value + (1 << (finer - 1))) >> finer) : value;
        value += zero;
        y[i] = (y_t)(value < low ? low : (value > high ? high : value));
    }
}

/*@ kernel look_up_focused x_t y_t */
/* As look_up_line, but the knots lie over the integers -reach .. reach alone, and a straight line goes on at either side.
   focus: bits (reach = 2^(15 - bits)), slopes below and above, their shift. limits: finer bits, zero point, low, high. */
void look_up_focused(const x_t *x, int32_t count, const int16_t *knots, const int32_t *focus, const int32_t *limits,
                     y_t *y)
{
    const int32_t reach = (int32_t)1 << (15 - focus[0]), step = (int32_t)1 << (7 - focus[0]);
    const int64_t half = (int64_t)1 << (focus[3] - 1);
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t place = (int32_t)x[i] + reach;
        int32_t value;
        if (place < 0) {
            value = (int32_t)knots[0] + (int32_t)(((int64_t)place * focus[1] + half) >> focus[3]);
        } else if (place >= 2 * reach) {
            value = (int32_t)knots[512] + (int32_t)(((int64_t)(place - 2 * reach) * focus[2] + half) >> focus[3]);
        } else {
            const int32_t at = place / step;
            const int32_t slope = (int32_t)knots[at + 1] - (int32_t)knots[at];
            value = (int32_t)knots[at] + ((slope * (place % step) + step / 2) >> (7 - focus[0]));
        }
        value = limits[0] > 0 ? ((value + (1 << (limits[0] - 1))) >> limits[0]) : value;
        value += limits[1];
        y[i] = (y_t)(value < limits[2] ? limits[2] : (value > limits[3] ? limits[3] : value));
    }
}

/*@ helper wrapped_s16 */
/* What 16 bits hold of a value. */
static int32_t wrapped_s16(int32_t value)
{
    const int32_t low = value & 0xFFFF;
    return low > 32767 ? low - 65536 : low;
}

/*@ kernel look_up_line_wrapped */
/* TFLite's line of 16 bits: slope and sum wrap around. */
void look_up_line_wrapped(const int16_t *x, int32_t count, const int16_t *knots, int32_t low, int32_t high, int16_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t place = (int32_t)x[i] + 32768;
        const int32_t at = place / 128;
        const int32_t slope = wrapped_s16((int32_t)knots[at + 1] - (int32_t)knots[at]);
        const int32_t value = wrapped_s16((int32_t)knots[at] + ((slope * (place % 128) + 64) >> 7));
        y[i] = (int16_t)(value < low ? low : (value > high ? high : value));
    }
}
