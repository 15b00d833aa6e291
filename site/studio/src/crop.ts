/** The frame of a cropped picture: dragged, moved by keys, or set by the form's own sliders. */
import type { PictureFit } from 'pentimento';
import { box, input } from '../../shared/elements.ts';
import { CENTRE, type Crop } from './settings-file.ts';

const RANGES = { x: 'crop-x', y: 'crop-y', size: 'crop-size' } as const;
/** Percent that a key moves; with shift as much again and again. */
const KEY_STEP = 2;

/** Where a drag began. */
interface Drag {
  readonly at: readonly [number, number];
  readonly crop: Crop;
  readonly frame: PictureFit;
  readonly resizes: boolean;
}

/** The frame over the picture. */
export class CropFrame {
  readonly #frame = box('crop');
  readonly #changed: (done: boolean) => void;
  readonly #say: (text: string) => void;
  #fit: PictureFit | undefined;
  #drag: Drag | undefined;

  /** @param changed told of every move; `done` when it ends there. `say` speaks to people who do not see it */
  constructor(changed: (done: boolean) => void, say: (text: string) => void) {
    this.#changed = changed;
    this.#say = say;
    for (const id of Object.values(RANGES)) {
      input(id).addEventListener('input', () => this.#changed(false));
      input(id).addEventListener('change', () => this.#changed(true));
    }
    this.#frame.addEventListener('pointerdown', event => this.#press(event));
    this.#frame.addEventListener('pointermove', event => this.#move(event));
    for (const end of ['pointerup', 'pointercancel'] as const) this.#frame.addEventListener(end, () => this.#release());
    this.#frame.addEventListener('keydown', event => this.#key(event));
  }

  /** Which part of the picture it frames. */
  get crop(): Crop {
    const share = (id: string): number => input(id).valueAsNumber / 100;
    return { x: share(RANGES.x), y: share(RANGES.y), size: share(RANGES.size) };
  }

  set crop({ x, y, size }: Crop) {
    for (const [name, share] of Object.entries({ x, y, size }))
      input(RANGES[name as keyof typeof RANGES]).value = String(100 * share);
  }

  /** The largest one in the middle. */
  reset(): void {
    this.crop = CENTRE;
  }

  /** Shows it, where there is one and it can be moved. @param fit undefined where the whole picture is taken */
  show(fit: PictureFit | undefined, movable: boolean): void {
    this.#fit = fit;
    this.#frame.hidden = !fit || !movable;
    box('crop-box').hidden = !fit;
    if (!fit) return;
    const [across, down] = room(fit);
    input(RANGES.x).disabled = across <= 0;
    input(RANGES.y).disabled = down <= 0;
  }

  #press(event: PointerEvent): void {
    if (!this.#fit || event.button !== 0) return;
    this.#frame.setPointerCapture(event.pointerId);
    const resizes = event.target instanceof Element && event.target.classList.contains('corner');
    this.#drag = { at: [event.clientX, event.clientY], crop: this.crop, frame: this.#fit, resizes };
  }

  #move(event: PointerEvent): void {
    const drag = this.#drag;
    if (!drag) return;
    const { width, height } = box('stage').getBoundingClientRect();
    const by = [(event.clientX - drag.at[0]) / width, (event.clientY - drag.at[1]) / height] as const;
    this.crop = drag.resizes ? resized(drag, by) : moved(drag, by);
    this.#changed(false);
  }

  #release(): void {
    if (!this.#drag) return;
    this.#drag = undefined;
    this.#changed(true);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = (event.shiftKey ? 5 : 1) * KEY_STEP;
    const moves: Record<string, readonly [keyof typeof RANGES, number]> = {
      ArrowLeft: ['x', -by],
      ArrowRight: ['x', by],
      ArrowUp: ['y', -by],
      ArrowDown: ['y', by],
      '+': ['size', KEY_STEP],
      '=': ['size', KEY_STEP],
      '-': ['size', -KEY_STEP],
    };
    const [name, percent] = moves[event.key] ?? [];
    if (name === undefined || percent === undefined) return;
    event.preventDefault();
    const range = input(RANGES[name]);
    if (!range.disabled) range.value = String(range.valueAsNumber + percent);
    this.#changed(true);
    const { x, y, size } = this.crop;
    const text = (share: number): string => `${Math.round(100 * share)} %`;
    this.#say(`frame ${text(x)} across, ${text(y)} down, size ${text(size)}`);
  }
}

/** Shares of the picture by which a frame can move. */
function room({ picture, region }: PictureFit): readonly [number, number] {
  return [1 - region.width / picture.width, 1 - region.height / picture.height];
}

function moved({ crop, frame }: Drag, by: readonly [number, number]): Crop {
  const [across, down] = room(frame);
  const place = (at: number, free: number, part: number): number => (free > 0 ? limited(at + part / free) : at);
  return { ...crop, x: place(crop.x, across, by[0]), y: place(crop.y, down, by[1]) };
}

/** The upper left corner stays. */
function resized({ crop, frame }: Drag, [across]: readonly [number, number]): Crop {
  const { picture, region } = frame;
  const [left, top] = [region.left / picture.width, region.top / picture.height];
  const [width, height] = [region.width / picture.width, region.height / picture.height];
  const times = Math.min((width + across) / width, (1 - left) / width, (1 - top) / height, 1 / crop.size);
  const size = Math.max(Number(input(RANGES.size).min) / 100, crop.size * times);
  const place = (edge: number, side: number): number => {
    const free = 1 - (side * size) / crop.size;
    return free > 1e-6 ? limited(edge / free) : 0.5;
  };
  return { x: place(left, width), y: place(top, height), size };
}

function limited(share: number): number {
  return Math.min(1, Math.max(0, share));
}
