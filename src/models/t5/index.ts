/** The two stacks of T5, and the distance classes of their attention bias. */
export { FLAN_T5_LARGE, parseT5Config, type T5Activation, type T5Config } from './config.ts';
export { type BucketOptions, bucketsByDistance, relativeBucket } from './relative-buckets.ts';
export { type T5Context, T5Decoder, T5Encoder, T5Model, type T5Step } from './t5.ts';
