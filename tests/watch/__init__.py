"""How others see that hisync is well."""
