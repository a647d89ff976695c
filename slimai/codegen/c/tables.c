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
