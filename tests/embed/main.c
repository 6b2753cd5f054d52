#include "exercise.h"

int main(void)
{
    return exercise();
}
