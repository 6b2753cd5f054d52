/* SPDX-License-Identifier: Apache-2.0 */
#include "exercise.h"

int main(void)
{
    return exercise();
}
