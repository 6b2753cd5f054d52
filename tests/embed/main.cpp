#include "exercise.h"

int main()
{
    return exercise();
}
