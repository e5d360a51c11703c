"""The network: a stock vision-language model, the detection adapter and the mask decoder."""
