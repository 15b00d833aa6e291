/** Every kernel, in every variant: a new one is fuzzed by a row of its own, which test/kernels/fuzz.test.ts asks for. */
import type { Row } from './problem.ts';
import { ATTENTIONS } from './rows-attention.ts';
import { PLAIN } from './rows-plain.ts';
import { PRODUCTS } from './rows-products.ts';
import { STEPS } from './rows-steps.ts';

export const ROWS: readonly Row[] = [...PRODUCTS, ...ATTENTIONS, ...PLAIN, ...STEPS];
