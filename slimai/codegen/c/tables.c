/* Functions of one element: a table over every integer of the input type. */

/*@ kernel look_up x_t y_t */
void look_up(const x_t *x, int32_t count, int32_t lowest, const y_t *table, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        y[i] = table[(int32_t)x[i] - lowest];
    }
}
