/** Layout facts of packed weights that layers need, without the kernels behind them. */
export { type HeadSpread, packedColumns } from '../kernels/pack-weight.ts';
