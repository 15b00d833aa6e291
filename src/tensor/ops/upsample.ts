/** Nearest-neighbour enlargement as a recorded node; a convolution behind a doubling swallows it. */
import { upsampleNearest } from '../../kernels/upsample-nearest.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';

/** Records nearest upsampling; a convolution that follows may take it over. */
export class UpsampleNode implements Node {
  readonly kind = 'upsample';
  readonly output: Tensor;
  readonly x: Tensor;

  constructor(x: Tensor, height: number, width: number) {
    this.x = x;
    this.output = x.graph.allocate([x.dim(0), x.dim(1), height, width], x.dtype);
  }

  /** Exactly twice as high and wide. */
  get doubles(): boolean {
    return this.output.dim(2) === 2 * this.x.dim(2) && this.output.dim(3) === 2 * this.x.dim(3);
  }

  inputs(): readonly Tensor[] {
    return [this.x];
  }

  lower(l: Lowering): void {
    const call = upsampleNearest({
      images: this.x.dim(0),
      inHeight: this.x.dim(2),
      inWidth: this.x.dim(3),
      outHeight: this.output.dim(2),
      outWidth: this.output.dim(3),
      channels: this.x.dim(1),
      pitch: this.x.pitch,
      storage: l.storage(this.x.dtype),
    });
    l.emit(call, { x: this.x, y: this.output });
  }
}

/** x [N, C, H, W] -> [N, C, height, width]: pixel floor(i * H / height) of each axis. */
export function upsample(x: Tensor, [height, width]: readonly [number, number]): Tensor {
  return x.graph.push(new UpsampleNode(x, height, width));
}
