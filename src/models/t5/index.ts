/** The two stacks of T5 and their config. */
export { parseT5Config, type T5Activation, type T5Config } from './config.ts';
export { T5Model } from './t5.ts';
