/** A request as its plan sees it: what it takes memory by, and itself with nothing that anybody could see or hear. */

import { standIn } from '../diffusion/generators.ts';
import { type PlannedCall, promptsKey } from '../diffusion/planned-call.ts';
import { generation, stepShapeOf } from './generation-phase.ts';
import type { DrawnPictures, GenerationRequest } from './request.ts';

/** A request for the planner of the model. */
export function plannedGeneration(request: GenerationRequest): PlannedCall {
  const { images, size, guidance, output } = request;
  return {
    key: keyOf(request),
    rows: images * (guidance.guided ? 2 : 1),
    pictures: output === 'latent' ? 1 : images,
    sides: size.slice(1),
    work: (call, model) => generation(call, model, unseen(request)),
  };
}

function keyOf(request: GenerationRequest): unknown {
  const { prompt, copies, steps, start, masking, output } = request;
  return [
    ...['generate', stepShapeOf(request), promptsKey(prompt), prompt.clipSkip, copies, steps.length],
    ...[output === 'latent', start.sigma === undefined, ...[start.picture, masking?.masked].map(shapesOf)],
  ];
}

function shapesOf(drawn: DrawnPictures | undefined): unknown {
  return drawn && [drawn.pictures, drawn.noise].map(array => array?.shape);
}

/** The caller's callbacks are not called, the caller's generators not drawn from, and no picture is finished on the host. */
function unseen(request: GenerationRequest): GenerationRequest {
  const { generator, output } = request;
  return {
    ...{ ...request, generator: standIn(generator), changed: new Map() },
    ...{ callback: undefined, onStepEnd: undefined, overlay: undefined },
    output: output === 'latent' ? 'latent' : 'np',
  };
}
