/** Tests call kernels by themselves: as for whoever imports this entry, the texts of all families are there. */
import '../../src/kernels/index.ts';
