/** The page's state, and what its buttons do. */
import { caption, type FitMode, type FitModel, generatePrompts, maskToImage, type RgbImage } from 'pentimento';
import type { WorkerPipeline } from 'pentimento/worker';
import { box, button, element, input, make, select } from '../../shared/elements.ts';
import { Progress } from '../../shared/progress.ts';
import { saveText } from '../../shared/save-file.ts';
import { AdapterPanel } from './adapters.ts';
import { CropFrame } from './crop.ts';
import { Editor, findMask, maskKey, runArguments, type Subject, type Watch } from './edit.ts';
import { KernelPanel } from './kernel-panel.ts';
import { Mask, type UNTOUCHED } from './mask.ts';
import { nameModel } from './model-panel.ts';
import { type Choice, embedded, Models } from './models.ts';
import { Painter } from './painter.ts';
import { savePicture } from './pixels.ts';
import { planTable } from './plan-table.ts';
import { Runner } from './runner.ts';
import { type Asked, CENTRE, readSettings, writeSettings } from './settings-file.ts';
import { SettingsForm } from './settings-form.ts';
import { Stage } from './stage.ts';
import { frameOf, sameFrame, subjectOf } from './subject.ts';
import { Tries, type Try } from './tries.ts';

/** How many sentences are suggested. */
const SUGGESTIONS = 4;
const SLIDERS = ['level', 'grow', 'soften'] as const;

/** Everything behind the page. */
export class Studio {
  readonly progress = new Progress();
  readonly form = new SettingsForm();
  readonly painter: Painter;
  readonly models: Models;
  readonly #stage = new Stage();
  readonly #editor = new Editor();
  readonly #tries = new Tries(chosen => this.#show(chosen));
  readonly #kernels = new KernelPanel();
  readonly #crop: CropFrame;
  readonly #runner: Runner;
  readonly #adapters: AdapterPanel;
  #photo: RgbImage | undefined;
  #subject: Subject | undefined;
  /** Why a picture that is there cannot be worked at. */
  #unfit: unknown;
  /** What the mask was found for; undefined where it was drawn by hand. */
  #maskKey: string | undefined;
  /** What is open, for what is asked while a frame is dragged. */
  #model: FitModel | undefined;
  /** Which model's settings the form shows. */
  #fitted: Choice | undefined;

  constructor(choice: Choice) {
    const say = (text: string): void => this.progress.say(text);
    this.models = new Models(choice, {
      onProgress: event => this.progress.step(event),
      onBytes: event => this.progress.bytes(event),
      onWarning: say,
      onDeviceLoss: event => this.progress.loss(event),
    });
    this.painter = new Painter(() => this.maskChanged(), say);
    this.#crop = new CropFrame(done => (done ? this.refit() : this.#showFrame()), say);
    const failed = (error: unknown): Promise<void> => this.#failed(error);
    this.#runner = new Runner(this.progress, this.#stage.preview, () => this.#showFrame(), failed);
    this.#adapters = new AdapterPanel({
      busy: (text, work) => this.#runner.run(text, async ({ signal }) => work(await this.#pipe(signal), signal)),
    });
  }

  get choice(): Choice {
    return this.models.choice;
  }

  /** Opens the model, and fits the page to it. */
  async open(choice?: Choice): Promise<void> {
    if (this.#runner.runs) return this.progress.say('Something is running; cancel it before another model is opened.');
    if (this.#runner.closed) return;
    const before = this.choice;
    nameModel('opening…');
    this.#model = undefined;
    await this.#runner.run('Opening the model…', async ({ signal }) => {
      if (choice) await this.models.choose(choice);
      const pipe = await this.#pipe(signal);
      return this.choice === embedded || !this.#subject ? 'Ready.' : this.#plan(pipe);
    });
    if (!this.#model) {
      if (choice) await this.models.choose(before);
      nameModel(`No model is open; what you ask for next opens ${before.name}.`);
    } else if (this.choice === embedded) await this.models.keepForLater();
  }

  /** There is no WebGPU: nothing can be run, and the page says why. */
  refuse(): void {
    nameModel('No model can be opened here.');
    this.#runner.close();
    const where = 'Chrome, Edge, Safari 26 and Firefox 141 or newer have it, over https or from localhost.';
    this.progress.fail(new Error(`This browser offers no WebGPU here. ${where}`));
  }

  /** The model; one that was opened anew has the page fitted to it. */
  async #pipe(signal?: AbortSignal): Promise<WorkerPipeline> {
    const pipe = await this.models.pipeline(signal);
    if (this.#model === pipe) return pipe;
    this.#model = pipe;
    const same = this.#fitted === this.choice;
    this.#fitted = this.choice;
    this.#adapters.forget();
    this.form.model(pipe.recommended, same);
    const { width, height } = pipe.defaultSize;
    const held = pipe.bytes > 0 ? `, ${Math.round(pipe.bytes / 1e6)} MB on the device` : '';
    nameModel(`${this.choice.name}, ${pipe.dtype}, ${width} × ${height} pixels${held}.`);
    const { description, vendor, architecture } = pipe.caps;
    const device = description || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed';
    box('device').textContent = `Device: ${device}.`;
    this.refit();
    return pipe;
  }

  /** Another picture. */
  photo(photo: RgbImage, shows?: string): void {
    if (this.#runner.locked) {
      this.progress.say('The edit that runs needs its own picture; cancel it first.');
      return;
    }
    this.#photo = photo;
    if (shows) input('source').value = shows;
    else select('sample').value = '';
    this.#crop.crop = CENTRE;
    this.#stage.photo(photo);
    // Why no model is open is still so.
    if (this.#model || this.#runner.runs) this.progress.solved();
    this.refit();
  }

  /** The picture as the model sees it, where there are both. */
  refit(): void {
    const [photo, model] = [this.#photo, this.#model];
    if (!photo || !model) return;
    const before = this.#subject;
    if (this.#unfit) this.progress.solved();
    [this.#subject, this.#unfit] = [undefined, undefined];
    try {
      this.#subject = subjectOf(photo, model, select('fit').value as FitMode, this.#crop.crop);
    } catch (error) {
      this.#unfit = error;
      this.progress.problem(error);
    }
    this.#stage.result(undefined);
    this.#editor.forget();
    this.#maskFor(before);
    box('size').textContent = '';
    if (!this.#subject) return;
    const { working } = this.#subject.fitted;
    box('size').textContent =
      `${photo.width} × ${photo.height} pixels; the model works at ${working.width} × ${working.height}.`;
    this.#stage.fit(this.#subject.fitted);
  }

  /** What was painted stays where the picture is as it was; a mask of another one goes. */
  #maskFor(before: Subject | undefined): void {
    const painted = this.painter.mask?.undoable === true;
    if (painted && before && this.#subject && sameFrame(before, this.#subject)) this.maskChanged();
    else {
      this.#setMask(undefined);
      if (painted) this.progress.say('The painted mask belonged to the picture as it was, and is gone.');
    }
  }

  /** What the page asks now. @throws Error for a field that holds nothing possible */
  asked(): Asked {
    const negative = input('negative').value.trim();
    const negativePrompt = negative || this.form.negativePrompt;
    return {
      sourcePrompt: input('source').value.trim(),
      targetPrompt: input('target').value.trim(),
      ...(negativePrompt === undefined ? {} : { negativePrompt }),
      seed: input('seed').valueAsNumber || 0,
      fit: select('fit').value as FitMode,
      crop: this.#crop.crop,
      settings: this.form.values,
      mask: this.#adjustments(),
    };
  }

  /** Puts a file of settings into the page. */
  async settings(text: string): Promise<void> {
    const asked = readSettings(text);
    if (this.#runner.locked) return this.progress.say('An edit is running; cancel it first.');
    await this.#pipe();
    input('source').value = asked.sourcePrompt;
    input('target').value = asked.targetPrompt;
    input('negative').value = asked.negativePrompt ?? '';
    input('seed').value = String(asked.seed);
    select('fit').value = asked.fit;
    this.#crop.crop = asked.crop;
    this.form.values = asked.settings;
    for (const name of SLIDERS) input(name).value = String(asked.mask[name]);
    this.refit();
    this.adjust();
    if (!this.#unfit) this.progress.solved('The settings are as in the file.');
  }

  /** Finds the mask and shows it. */
  find(): Promise<unknown> {
    return this.#runner.runLocked('Finding the mask…', async watch => {
      await this.#find(await this.#pipe(watch.signal), watch);
      return 'Here is the mask. Adjust it, paint over it, or edit.';
    });
  }

  /** A mask with nothing in it, to be painted. */
  async blank(): Promise<void> {
    const pipe = await this.#pipe();
    const { working } = this.#subjectNow().fitted;
    const [width, height] = [working.width / pipe.vaeScaleFactor, working.height / pipe.vaeScaleFactor];
    const soft = this.form.values['maskMode'] === 'soft';
    this.#stage.result(undefined);
    input('show-mask').checked = true;
    this.#setMask(new Mask(new Float32Array(width * height), width, height, soft));
  }

  /** Edits; finds the mask before, where there is none for what is asked. */
  edit(): Promise<unknown> {
    return this.#runner.runLocked('Editing…', async watch => {
      const pipe = await this.#pipe(watch.signal);
      const begin = performance.now();
      const subject = this.#subjectNow();
      const { mask: held } = this.painter;
      const found = this.#maskKey;
      const stale = found !== undefined && !held?.undoable && found !== this.#keyOfMask();
      const mask = held && !stale ? held : await this.#find(pipe, watch);
      this.#stage.result(undefined);
      const asked = this.asked();
      const picture = await this.#editor.edit(pipe, asked, subject, mask, watch);
      const grey = maskToImage(mask.values(), pipe.vaeScaleFactor);
      const seconds = (performance.now() - begin) / 1000;
      this.#tries.add({ asked, model: this.choice.name, picture, photo: subject.photo, mask: grey, seconds });
      this.#stage.result(picture);
      input('show-mask').checked = false;
      this.painter.show();
      return `Done in ${seconds.toFixed(0)} s. Move the slider between before and after.`;
    });
  }

  /** Writes what the picture shows. */
  caption(): Promise<unknown> {
    return this.#runner.run('Describing the picture…', async ({ signal }) => {
      const photo = this.#photo;
      if (!photo) throw new Error('There is no picture yet: drop one, or take a sample.');
      input('source').value = await caption(await this.models.captioner(signal), photo, null, { signal });
      return `It shows: ${input('source').value}`;
    });
  }

  /** Writes prompts about a word. */
  suggest(): Promise<unknown> {
    return this.#runner.run('Writing prompts…', async ({ signal }) => {
      const texts = await generatePrompts(await this.models.writer(signal), input('concept').value.trim(), {
        n: SUGGESTIONS,
        signal,
      });
      const buttons = [...new Set(texts)].map(text => {
        const use = make('button', { type: 'button' }, text);
        use.addEventListener('click', () => {
          input('target').value = text;
          this.progress.say(`It shall show: ${text}`);
        });
        return make('li', {}, use);
      });
      box('suggestions').replaceChildren(...buttons);
      return `${buttons.length} suggestions.`;
    });
  }

  /** Says what an edit would take. */
  plan(): Promise<unknown> {
    return this.#runner.run('Planning…', async ({ signal }) => this.#plan(await this.#pipe(signal)));
  }

  async #plan(pipe: WorkerPipeline): Promise<string> {
    const plan = await pipe.plan(runArguments(this.asked(), this.#subjectNow()));
    box('plan-out').replaceChildren(planTable(plan));
    box('plan-out').hidden = false;
    box('plan-out').closest('details')?.setAttribute('open', '');
    return `An edit takes at most ${Math.round(plan.peakBytes / 1e6)} MB.`;
  }

  /** Measures the kernels on the visitor's device. */
  measure(): Promise<unknown> {
    return this.#runner.run('Measuring the kernels…', ({ signal }) =>
      this.#kernels.measure(this.models.worker, signal, this.progress),
    );
  }

  async copyKernels(): Promise<void> {
    this.progress.say(await this.#kernels.copy());
  }

  /** The sliders of the mask have moved. */
  adjust(): void {
    for (const name of SLIDERS) box(`${name}-out`).textContent = input(name).value;
    if (this.painter.mask) {
      this.painter.mask.adjustments = this.#adjustments();
      input('show-mask').checked = true;
    }
    this.maskChanged();
  }

  /** The mask is another one. */
  maskChanged(): void {
    const { mask } = this.painter;
    element('mask-tools', HTMLFieldSetElement).disabled = !mask;
    button('undo').disabled = !mask?.undoable;
    this.painter.show();
    this.#showFrame();
  }

  /** Ends what runs. */
  cancel(): void {
    this.#runner.cancel();
  }

  async savePicture(): Promise<void> {
    if (this.#tries.chosen) await savePicture(this.#tries.chosen.picture, 'pentimento.png');
  }

  async saveMask(): Promise<void> {
    if (this.#tries.chosen) await savePicture(this.#tries.chosen.mask, 'pentimento-mask.png');
  }

  /** Puts what the chosen try was asked into the page. */
  async useAgain(): Promise<void> {
    const { chosen } = this.#tries;
    if (!chosen) return;
    this.photo(chosen.photo);
    await this.settings(writeSettings(chosen.asked, chosen.model));
  }

  saveSettings(): void {
    const { chosen } = this.#tries;
    if (chosen) saveText(writeSettings(chosen.asked, chosen.model), 'pentimento.json');
  }

  async #failed(error: unknown): Promise<void> {
    const full = await this.models.withoutKeeping(error);
    this.progress.fail(error);
    if (full) this.progress.say('Press again: the model is read without being kept in this browser.');
  }

  /** The frame as it is dragged; what the model sees follows when it is let go. */
  #showFrame(): void {
    const [photo, model] = [this.#photo, this.#model];
    if (!photo || !model || select('fit').value !== 'crop') {
      this.#crop.show(undefined, false);
      return;
    }
    const frame = frameOf(photo, model, this.#crop.crop);
    this.#crop.show(frame, !this.#runner.locked && !this.painter.mask && !this.#stage.shows);
    if (!this.#runner.locked) this.#stage.fit(frame);
  }

  #adjustments(): typeof UNTOUCHED {
    const [level = 0.5, grow = 0, soften = 0] = SLIDERS.map(name => Number(input(name).value));
    return { level, grow, soften };
  }

  #keyOfMask(): string {
    return JSON.stringify([maskKey(this.asked()), this.#adapters.state]);
  }

  #subjectNow(): Subject {
    if (this.#subject) return this.#subject;
    if (this.#unfit) throw this.#unfit;
    throw new Error('There is no picture yet: drop one, or take a sample.');
  }

  async #find(pipe: WorkerPipeline, watch: Watch): Promise<Mask> {
    const [asked, subject, key] = [this.asked(), this.#subjectNow(), this.#keyOfMask()];
    this.#stage.result(undefined);
    const mask = await findMask(pipe, asked, subject, watch);
    input('show-mask').checked = true;
    this.#setMask(mask, key);
    return mask;
  }

  #setMask(mask: Mask | undefined, key?: string): void {
    this.#maskKey = key;
    if (mask) mask.adjustments = this.#adjustments();
    this.painter.mask = mask;
    this.maskChanged();
  }

  #show({ photo, picture }: Try): void {
    if (this.#runner.locked) return;
    if (photo !== this.#photo) this.photo(photo);
    this.#stage.result(picture);
    input('show-mask').checked = false;
    this.painter.show();
  }
}
