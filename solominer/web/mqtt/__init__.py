"""The state for Home Assistant, by MQTT."""
