"""What diffusers and transformers make of the sample pictures with the embedded models, in float32.

  orchard.py OUT_DIR [NAME ...]

Writes what test/golden/orchard holds: OUT_DIR/quick and guide (golden.safetensors, golden.json), edits (pictures and masks)
and text.json (captions and prompts). Names choose among the edits, 'guide' and 'text'; default: all, a few minutes. Each
phase of a run draws from a fresh generator of the run's seed. Made with torch 2.13.0 (CPU), transformers 4.57.6,
diffusers 0.34.0.
"""
import importlib.metadata, json, pathlib, sys
import numpy as np
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, StableDiffusionDiffEditPipeline
from PIL import Image
from safetensors.torch import save_file
from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessor, T5ForConditionalGeneration, T5Tokenizer

out, chosen = pathlib.Path(sys.argv[1]), sys.argv[2:]
orchard = pathlib.Path(__file__).resolve().parents[2] / 'models/orchard'
samples = orchard / 'samples'
torch.set_grad_enabled(False)
EDITS = [
    dict(name='quick', image='apples-bowl.png', source='a bowl of apples', target='a bowl of pears', seed=0, steps=10, maps=2),
    dict(name='apples-to-pears', image='apples-bowl.png', source='a bowl of apples', target='a bowl of pears', seed=0),
    dict(name='apples-to-pears-gentle', image='apples-bowl.png', source='a bowl of apples', target='a bowl of pears', seed=0,
         guidance=2.5, invert_guidance=1),
    dict(name='lemons-to-strawberries', image='lemons-basket.png', source='a basket of lemons',
         target='a basket of strawberries', seed=1),
    dict(name='strawberries-to-lemons', image='strawberries-bowl.png', source='a bowl of strawberries',
         target='a bowl of lemons', seed=2),
    dict(name='basket-to-bowl', image='pears-basket.png', source='a basket of pears', target='a bowl of pears', seed=3,
         guidance=2.5, invert_guidance=1),
]
GREEDY = ['bowl', 'basket', 'pear', 'plate of lemons']
PREFIX = 'a photograph of'
versions = {p: importlib.metadata.version(p) for p in ('torch', 'transformers', 'diffusers', 'safetensors', 'numpy', 'pillow')}

pipe = StableDiffusionDiffEditPipeline.from_pretrained(orchard / 'stable-diffusion', torch_dtype=torch.float32, safety_checker=None)
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
pipe.inverse_scheduler = DDIMInverseScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
t5, t5_tokens = T5ForConditionalGeneration.from_pretrained(orchard / 't5').eval(), T5Tokenizer.from_pretrained(orchard / 't5')


def wanted(name):
    return not chosen or name in chosen


def picture(file):
    return Image.open(samples / file).convert('RGB')


def write(folder, notes, golden=None):
    (out / folder).mkdir(parents=True, exist_ok=True)
    if golden:
        save_file(golden, out / folder / 'golden.safetensors')
    (out / folder / 'golden.json').write_text(json.dumps(notes, indent=1))


def phases(name, image, seed, for_mask, for_invert, for_edit, steps=50, maps=10, guidance=7.5, invert_guidance=None):
    """Mask, inversion and edit -> tensors by name, the picture and the mask as images."""
    golden, seen = {}, []

    def put(key, value):
        value = torch.as_tensor(np.asarray(value))
        golden[f'{name}.{key}'] = value.contiguous().to(torch.float32 if value.is_floating_point() else torch.int32)

    def seeded():
        return torch.Generator().manual_seed(seed)
    hook = pipe.unet.register_forward_hook(lambda m, a, o: seen.append(o[0] if isinstance(o, tuple) else o.sample))
    mask = pipe.generate_mask(
        image=image, generator=seeded(), num_inference_steps=steps, num_maps_per_mask=maps, guidance_scale=guidance, **for_mask)
    hook.remove()
    a, b, c, d = seen[0].chunk(4)
    put('mask_map', ((c + guidance * (d - c)) - (a + guidance * (b - a))).abs().mean((0, 1))[None])
    put('mask', mask)
    inverted = pipe.invert(
        image=image, generator=seeded(), num_inference_steps=steps,
        guidance_scale=guidance if invert_guidance is None else invert_guidance, **for_invert).latents
    put('inverted', inverted)
    args = dict(mask_image=mask, image_latents=inverted, num_inference_steps=steps, guidance_scale=guidance, **for_edit)
    put('latents', pipe(**args, generator=seeded(), output_type='latent').images)
    edited = pipe(**args, generator=seeded(), output_type='np').images
    put('image', edited)
    print(name, 'mask', mask.mean(), flush=True)
    return golden, Image.fromarray((edited[0] * 255).round().astype(np.uint8)), Image.fromarray((mask[0] * 255).astype(np.uint8))


def edits():
    for e in (e for e in EDITS if wanted(e['name'])):
        options = {key: e[key] for key in ('steps', 'maps', 'guidance', 'invert_guidance') if key in e}
        golden, image, mask = phases(
            e['name'], picture(e['image']), e['seed'], dict(source_prompt=e['source'], target_prompt=e['target']),
            dict(prompt=e['source']), dict(prompt=e['target'], negative_prompt=e['source']), **options)
        write('edits', {'edits': EDITS})
        image.save(out / 'edits' / f"{e['name']}.png")
        mask.save(out / 'edits' / f"{e['name']}.mask.png")
        if e['name'] == 'quick':
            write('quick', {**e, 'versions': versions}, golden)


def ask(concept):
    return t5_tokens(f'Provide a caption for images containing a {concept}. ', return_tensors='pt').input_ids


def prompts(source, target, seed):
    """The guide's calls, source then target from one seed."""
    torch.manual_seed(seed)
    rows = {}
    for concept in (source, target):
        ids = t5.generate(ask(concept), temperature=0.8, num_return_sequences=16, do_sample=True, max_new_tokens=128, top_k=10)
        texts = t5_tokens.batch_decode(ids, skip_special_tokens=True)
        rows[concept] = dict(input_ids=ask(concept)[0].tolist(), ids=ids.tolist(), texts=texts)
    return rows


def captions():
    blip = BlipForConditionalGeneration.from_pretrained(orchard / 'blip').eval()
    processor = BlipImageProcessor.from_pretrained(orchard / 'blip')
    tokens = BertTokenizer.from_pretrained(orchard / 'blip')
    rows = {}
    for file in sorted(path.name for path in samples.glob('*.png')):
        pixels, rows[file] = processor(images=picture(file), return_tensors='pt').pixel_values, {}
        for prefix in (PREFIX, ''):
            given = dict(input_ids=torch.tensor([tokens(prefix).input_ids])) if prefix else {}
            ids = blip.generate(pixel_values=pixels, max_new_tokens=128, **given)[0].tolist()
            rows[file][prefix] = dict(ids=ids, text=tokens.decode(ids, skip_special_tokens=True))
    return rows


def text():
    guide = json.loads((samples / 'guide.json').read_text())
    source, target, seed = (guide[key] for key in ('source', 'target', 'seed'))
    greedy = {c: t5_tokens.decode(t5.generate(ask(c), max_new_tokens=128)[0], skip_special_tokens=True) for c in GREEDY}
    named = {f'{source} to {target}, seed {seed}': prompts(source, target, seed)}
    own = {'transformers': versions['transformers']}
    notes = dict(captions=captions(), prompts=named, greedy=greedy, versions=own)
    out.mkdir(parents=True, exist_ok=True)
    (out / 'text.json').write_text(json.dumps(notes, separators=(',', ':')))


def guide():
    """The guide's second half: mean embeddings of its prompts instead of prompts."""
    notes = json.loads((samples / 'guide.json').read_text())
    rows = prompts(notes['source'], notes['target'], notes['seed'])

    def mean(sentences):
        ids = [pipe.tokenizer(s, padding='max_length', max_length=77, truncation=True, return_tensors='pt').input_ids
               for s in sentences]
        return torch.cat([pipe.text_encoder(i)[0] for i in ids]).mean(0, keepdim=True)
    source, target = (mean(rows[notes[key]]['texts']) for key in ('source', 'target'))
    golden, _, _ = phases(
        'guide', picture(notes['image']), notes['seed'], dict(source_prompt_embeds=source, target_prompt_embeds=target),
        dict(prompt_embeds=source), dict(prompt_embeds=target, negative_prompt_embeds=source))
    embeds = {'guide.source_embeds': source, 'guide.target_embeds': target}
    write('guide', {'guide': notes, 'versions': versions}, {**embeds, **golden})


edits()
if wanted('text'):
    text()
if wanted('guide'):
    guide()
