"""Fine-tuning of any supported vision-language model: SFT, then GRPO, then a folder that explains.

settings -> start (model to tune) -> examples (prompts and true answers) -> sft | grpo
-> scorecard (on validation) -> folder (what `Detector.from_pretrained` loads)
"""
